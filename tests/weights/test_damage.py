"""Damaged and hostile weights files change nothing, and NaN is warned of; `make fuzz` tries thousands of them."""

import io
import os
import pathlib
import pickle
import stat
import zipfile

import h5py
import numpy as np
import pytest
import safetensors.numpy
from small_model import assert_same, tiny, values

import keras_mambaout
from keras_mambaout.weights import files
from keras_mambaout.weights.archive import check_zip
from keras_mambaout.weights.hdf5 import list_arrays


@pytest.fixture(scope="module")
def model():
    return tiny(classes=3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("saved") / "a.safetensors")
    keras_mambaout.save_safetensors(tiny(classes=3), path)
    return path


@pytest.mark.first_on("torch")
def test_every_flipped_bit_of_our_files_is_seen(model, saved, tmp_path):
    content, before = pathlib.Path(saved).read_bytes(), values(model)
    random = np.random.default_rng(0)
    for place in [*random.integers(len(content), size=40), len(content) - 1]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        (tmp_path / "flipped.safetensors").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"flipped\.safetensors"):
            keras_mambaout.load_weights(model, tmp_path / "flipped.safetensors")
        assert_same(model, before)


@pytest.mark.no_backend
def test_equal_tensors_make_equal_files(tmp_path):
    """Eight times, since the library orders two entries at random."""
    contents = set()
    for _ in range(8):
        files.write_safetensors({"a": np.ones(3, "float32"), "ü": np.zeros((), "float32")}, str(tmp_path / "file"))
        contents.add((tmp_path / "file").read_bytes())
    assert len(contents) == 1 and set(files.read_tensors(str(tmp_path / "file"))) == {"a", "ü"}


@pytest.mark.no_backend
def test_a_checksum_is_of_the_tensors_alone(saved, tmp_path):
    """Others may sort them, or add metadata, or leave the checksum away."""
    with safetensors.safe_open(saved, "np") as file:
        metadata = file.metadata()
    tensors = safetensors.numpy.load_file(saved)
    assert metadata["format"] == "pt" and len(metadata[files.CHECKSUM]) == 64
    path = str(tmp_path / "other.safetensors")
    for kept in ({**metadata, "by": "another"}, {"format": "pt"}, None):
        safetensors.numpy.save_file(dict(reversed(tensors.items())), path, metadata=kept)
        assert files.read_tensors(path).keys() == tensors.keys()
    tensors["head.fc.bias"] = tensors["head.fc.bias"] + 1
    safetensors.numpy.save_file(tensors, path, metadata=metadata)
    with pytest.raises(ValueError, match=r"other\.safetensors.*their SHA-256 differs"):
        files.read_tensors(path)


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".weights.h5"])
def test_nan_is_warned_of(model, saved, ending, tmp_path, caplog):
    path, broken = str(tmp_path / f"nan{ending}"), tiny(classes=3)
    broken.get_layer("head").fc.bias.assign([0.0, np.nan, np.inf])
    if ending == ".weights.h5":
        broken.save_weights(path)
    else:
        keras_mambaout.save_safetensors(broken, str(tmp_path / "nan.safetensors"))
    if ending == ".pth":
        torch = pytest.importorskip("torch")
        tensors = safetensors.numpy.load_file(tmp_path / "nan.safetensors")
        torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, path)
    keras_mambaout.load_weights(model, path)
    assert_same(model, values(broken))
    (record,) = caplog.records
    assert path in record.message and "in 1 of its tensors" in record.message and "head" in record.message
    caplog.clear()
    keras_mambaout.load_weights(model, saved)
    assert not caplog.records


@pytest.mark.no_backend
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_have_the_mode_of_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        files.write_safetensors({"a": np.zeros(3, "float32")}, str(tmp_path / "a.safetensors"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o666 & ~mask


@pytest.mark.first_on("torch")
def test_pytorch_files(model, saved, tmp_path):
    """A flipped bit, which PyTorch does not see; a tensor that is there twice; sizes that are not; and code."""
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in safetensors.numpy.load_file(saved).items()}
    path, before = tmp_path / "a.pth", values(model)
    torch.save(tensors, path)
    with zipfile.ZipFile(path) as archive:
        place = next(member.header_offset for member in archive.infolist() if member.filename.endswith("data/2"))
    content = bytearray(path.read_bytes())
    content[place + 130] ^= 1

    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    def saved_as(value):
        torch.save(value, stream := io.BytesIO())
        return stream.getvalue()

    twice = {"downsample_layers.0.conv1.weight": tensors["stem.conv1.weight"], **tensors}
    huge = torch.zeros(1, dtype=torch.float16).expand(2**40)
    wrong = [content, saved_as(twice), saved_as({"x": huge}), saved_as({7: torch.zeros(1)}), pickle.dumps(Code(), 2)]
    for damaged in wrong:
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.pth"):
            keras_mambaout.load_weights(model, path)
    assert_same(model, before)
    assert not (tmp_path / "ran").exists()


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("a", b"1"), ("a", b"2")], "'a' is there twice"),
        ([("../a", b"1")], "leads elsewhere"),
        ([("/a", b"1")], "leads elsewhere"),
        ([("a", bytes(2**27))], "would unpack to 134217728 bytes"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_files(parts, message, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=message):
        check_zip(tmp_path / "a.zip")


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.create_dataset("b", shape=(2**40,), dtype="f4"), "has 0 bytes of 4398046511104"),
        (lambda file: file.create_dataset("b", (2**40,), "f4", chunks=(2**16,), compression="gzip"), "has 0 bytes of"),
        (lambda file: file.create_dataset("b", (4,), "f4", external=[("x", 0, 16)]), "lies in another file"),
        (lambda file: file.create_dataset("b", data=np.zeros(4, ">f4")), "not of a number type"),
        (lambda file: file.update({"b": h5py.SoftLink("/a")}), "'b' is a link"),
        (lambda file: file.update({"b": h5py.ExternalLink("x", "/a")}), "'b' is a link"),
        (lambda file: file.update({"b": file["/"]}), "'b' is there twice"),
    ],
)
def test_hdf5_files(change, message, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = np.zeros(4, "float32")
        assert [array[:2] for array in list_arrays(file)] == [(4, True)]
        change(file)
        with pytest.raises(ValueError, match=message):
            list_arrays(file)


@pytest.mark.no_backend
def test_two_arrays_of_an_hdf5_file_in_one_place(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"], file["b"] = np.zeros(4, "float32"), np.ones(4, "float32")
        first, second = (file[name].id.get_offset().to_bytes(8, "little") for name in "ab")
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content.replace(second, first))
    with h5py.File(tmp_path / "a.h5") as file, pytest.raises(ValueError, match="lie in the same place"):
        list_arrays(file)


def test_integers_instead_of_floats(model, tmp_path):
    path, before = str(tmp_path / "integers.weights.h5"), values(model)
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        name = "layers/classifier_head/fc/vars/1"
        del file[name]
        file[name] = np.ones(3, "int32")
    with pytest.raises(ValueError, match=r"integers\.weights\.h5.*weights are floats"):
        keras_mambaout.load_weights(model, path)
    assert_same(model, before)
