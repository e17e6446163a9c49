"""Finding a data set of TensorFlow Datasets."""

from keras_mambaout.extras import import_extra, import_tensorflow


def find_builder(name, data_dir, hint):
    """Returns a `tfds.core.DatasetBuilder`, not prepared; where there is none, the error ends with `hint`."""
    tfds = import_extra("tensorflow_datasets", "data")
    import_tensorflow()
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:  # ValueError: no name of a data set could be so
        raise ValueError(
            f"TensorFlow Datasets has no data set {name!r}{hint}; tfds.list_builders() lists all names."
        ) from error
