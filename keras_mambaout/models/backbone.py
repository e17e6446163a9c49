"""The MambaOut backbone: images in, features of strides 4, 8, 16 and 32 out."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from keras_mambaout import arguments, layers
from keras_mambaout.config import STAGES, MambaOutConfig, resolve_config
from keras_mambaout.layers.common import layer_norm
from keras_mambaout.layers.composite import check_dtype, rematerialized, saved_dtype
from keras_mambaout.models.freezing import freeze_layers, frozen_layer_names
from keras_mambaout.models.lora import add_lora
from keras_mambaout.models.mixins import ModelMixin
from keras_mambaout.serialization import serializable
from keras_mambaout.weights.loader import fill
from keras_mambaout.weights.pretrained import resolve_weights


@serializable
class MambaOutBackbone(ModelMixin, keras.Model):
    """Stem and four stages of gated CNN blocks, as a functional `keras.Model`.

    KerasHub's heads take it as it is, by `pyramid_outputs`, and so do KerasCV's, by
    `pyramid_level_inputs`.

    Args:
        config: Name of a variant (`list_models()`), a `MambaOutConfig`, or its dict.
        input_shape: Shape of an image without the batch, in `data_format`; height and width 32 or
            more, or `None` for any size. Default `(None, None, 3)`.
        include_preprocessing: Whether 0-255 pixels go in and are normalised with ImageNet's
            statistics inside; otherwise normalised pixels go in (`preprocess_input`).
        weights: `None` for random values, or the published weights of a variant: `"imagenet"`, a
            tag of `list_weights()`, `"hf://user/repo"`, or a path, as for `create_model`.
        pooling: Output of the model: `None` the last stage's features, `"avg"` or `"max"` their
            average or maximum over the image.
        output_norms: Whether each pyramid output ends in a LayerNorm, as dense prediction
            (detection, segmentation) needs. They are always trained from scratch.
        drop_path_rate: Stochastic depth of the last block, in `[0, 1)`; it grows linearly from 0 at
            the first. Inference is not affected.
        pad_to_multiple: Images are padded inside, after the normalisation, with zeros at the bottom
            and the right until height and width are multiples of this number. 1 pads nothing; with 32
            each pyramid level has exactly its stride and twice the size of the next at any image
            size, which feature pyramid networks need.
        data_format: `"channels_last"` or `"channels_first"`, of the model's input and its feature
            outputs; default `keras.config.image_data_format()`. Inside, everything is channels last.
        frozen_layers: Names of layers that are not trained, as a saved model remembers them.
        dtype: Dtype policy of all layers, such as `"mixed_bfloat16"`; default Keras' global one.
        rematerialize: Whether training computes anew, in the backward pass, what happens inside each block, instead of
            keeping it: less memory, more time, equal numbers. It is of this object and not saved with it.
        name: Name of the model.

    Shapes:
        `(B, H, W, C)` -> `(B, ceil(H / 32), ceil(W / 32), dims[-1])`, with pooling
        `(B, dims[-1])`. With channels first `(B, C, H, W)` and `(B, dims[-1], H / 32, W / 32)`.
        `H` and `W` are those after padding.

    Raises:
        ValueError: If an argument is not among those listed above, or the weights do not fit.

    Example:
    ```python
    backbone = keras_mambaout.MambaOutBackbone("mambaout_tiny", output_norms=True)
    backbone.pyramid_outputs["P3"].shape  # (None, None, None, 192), stride 8
    features = keras.Model(backbone.inputs, backbone.pyramid_outputs)
    ```

    Source: [Yu and Wang, MambaOut: Do we really need Mamba for vision?](https://arxiv.org/abs/2405.07992)
    """

    def __init__(
        self,
        config: str | Mapping | MambaOutConfig = "mambaout_tiny",
        input_shape: Sequence[int | None] | None = None,
        include_preprocessing: bool = True,
        weights: str | os.PathLike | None = None,
        pooling: str | None = None,
        output_norms: bool = False,
        drop_path_rate: float = 0.0,
        pad_to_multiple: int = 1,
        data_format: str | None = None,
        frozen_layers: Iterable[str] = (),
        dtype: str | keras.DTypePolicy | None = None,
        rematerialize: bool = False,
        name: str = "mambaout_backbone",
        **kwargs,
    ):
        # === Arguments ===
        config = resolve_config(config)
        source = resolve_weights(weights, config)
        data_format = arguments.check_choice(
            "data_format", data_format or keras.config.image_data_format(), arguments.DATA_FORMATS
        )
        input_shape = arguments.check_input_shape(input_shape, data_format)
        pooling = arguments.check_choice("pooling", pooling, arguments.POOLINGS)
        drop_path_rate = arguments.check_rate("drop_path_rate", drop_path_rate)
        pad_to_multiple = arguments.check_positive_integer("pad_to_multiple", pad_to_multiple)
        dtype = check_dtype(dtype)
        channels_first = data_format == "channels_first"

        # === Functional model ===
        with rematerialized(rematerialize):
            images = keras.Input(input_shape, name="images")
            x = images
            if channels_first:
                x = keras.layers.Permute((2, 3, 1), dtype=dtype, name="to_channels_last")(x)  # (B, H, W, C)
            if include_preprocessing:
                x = layers.ImageNormalization(dtype=keras.config.floatx(), name="image_normalization")(x)
            if pad_to_multiple > 1:
                x = layers.PadToMultiple(pad_to_multiple, dtype=dtype, name="pad_to_multiple")(x)
            x = layers.Stem(config.dims[0], config.stem_mid_norm, config.activation, dtype=dtype, name="stem")(x)

            pyramid, pyramid_layers = {}, {}
            for stage, block_rates in enumerate(config.drop_path_rates(drop_path_rate)):
                if stage > 0:
                    x = layers.Downsample(
                        config.dims[stage],
                        norm_first=config.downsample == "conv_nf",
                        dtype=dtype,
                        name=f"stages_{stage}_downsample",
                    )(x)
                for block, block_rate in enumerate(block_rates):
                    layer_name = f"stages_{stage}_blocks_{block}"
                    x = layers.GatedCNNBlock(
                        expansion_ratio=config.expansion_ratio,
                        conv_ratio=config.conv_ratio,
                        kernel_size=config.kernel_size,
                        activation=config.activation,
                        layer_scale_init=config.layer_scale_init,
                        drop_path_rate=block_rate,
                        token_mixer=config.token_mixer,
                        state_dim=config.state_dim,
                        dt_rank=config.dt_rank,
                        scan_directions=config.scan_directions,
                        dtype=dtype,
                        name=layer_name,
                    )(x)  # (B, H / 2^(stage + 2), W / 2^(stage + 2), dims[stage])
                feature = x
                if output_norms:
                    layer_name = f"output_norms_{stage}"
                    feature = layer_norm(layer_name, dtype)(feature)
                if channels_first:
                    layer_name = f"stages_{stage}_output"
                    feature = keras.layers.Permute((3, 1, 2), dtype=dtype, name=layer_name)(feature)
                pyramid[f"P{stage + 2}"], pyramid_layers[f"P{stage + 2}"] = feature, layer_name

            outputs = pyramid[f"P{STAGES + 1}"]
            if output_norms or channels_first:
                outputs = layers.LastLevel(dtype=dtype, name="last_level")(list(pyramid.values()))
            if pooling is not None:
                pool = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[pooling]
                outputs = pool(data_format=data_format, dtype=dtype, name=f"{pooling}_pool")(outputs)
        super().__init__(inputs=images, outputs=outputs, name=name, **kwargs)

        # === Config ===
        self.config = config
        self.include_preprocessing = include_preprocessing
        self.pooling = pooling
        self.output_norms = output_norms
        self.drop_path_rate = drop_path_rate
        self.pad_to_multiple = pad_to_multiple
        self.data_format = data_format
        self.dtype_policy = dtype
        self._pyramid_outputs = pyramid
        self.pyramid_level_inputs = pyramid_layers  # level -> name of the layer whose output it is
        self.last_stage_output = x  # channels last and without output norm: what a classifier reads
        freeze_layers(self, frozen_layers)
        fill(self, source)

    @property
    def pyramid_outputs(self) -> dict[str, keras.KerasTensor]:
        """The features of strides 4 to 32, `{"P2": feature, ..., "P5": feature}`, as symbolic tensors."""
        return dict(self._pyramid_outputs)  # JAX cannot compile a model whose output is Keras' tracked dict

    def enable_lora(self, rank: int, target_layer_names: Sequence[str] | None = None) -> None:
        """Freezes everything and trains LoRA on the dense layers of the blocks, as KerasHub's backbones do.

        `model.save(path)` merges it: the loaded model has the kernels `kernel + a @ b`, the same outputs, no LoRA, and
        trains as before. Call it before `compile`.

        Args:
            rank: Rank of the product of matrices that each dense layer learns.
            target_layer_names: Which dense layers of a block; `None` is both, `("fc1", "fc2")`.

        Raises:
            ValueError: If an argument is outside what is listed above, or LoRA is enabled already.

        Example:
        ```python
        detector.backbone.enable_lora(8)  # the heads of the detector train as usual
        ```

        Source: [Hu et al., LoRA: Low-rank adaptation of large language models](https://arxiv.org/abs/2106.09685)
        """
        add_lora(self, rank, target_layer_names)

    def get_config(self) -> dict[str, Any]:
        return {
            "config": dataclasses.asdict(self.config),
            "input_shape": self.input_shape[1:],
            "include_preprocessing": self.include_preprocessing,
            "weights": None,  # a saved model carries its own values
            "pooling": self.pooling,
            "output_norms": self.output_norms,
            "drop_path_rate": self.drop_path_rate,
            "pad_to_multiple": self.pad_to_multiple,
            "data_format": self.data_format,
            "frozen_layers": frozen_layer_names(self),
            "dtype": keras.dtype_policies.serialize(saved_dtype(self)),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        arguments.check_saved_weights(config)
        return cls(**{**config, "dtype": keras.dtype_policies.get(config["dtype"])})
