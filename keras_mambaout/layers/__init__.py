"""The layers of MambaOut, in the order in which an image meets them. They import no models."""

from keras_mambaout.layers.image_normalization import ImageNormalization
from keras_mambaout.layers.pad_to_multiple import PadToMultiple
from keras_mambaout.layers.strided_conv import StridedConv2D
from keras_mambaout.layers.stem import Stem
from keras_mambaout.layers.downsample import Downsample
from keras_mambaout.layers.depthwise_conv import DepthwiseConv2D
from keras_mambaout.layers.state_space import SelectiveSSM, SelectiveScan2D
from keras_mambaout.layers.layer_scale import LayerScale
from keras_mambaout.layers.stochastic_depth import StochasticDepth
from keras_mambaout.layers.gated_cnn_block import GatedCNNBlock
from keras_mambaout.layers.last_level import LastLevel
from keras_mambaout.layers.classifier_head import ClassifierHead

__all__ = [
    "ImageNormalization",
    "PadToMultiple",
    "StridedConv2D",
    "Stem",
    "Downsample",
    "DepthwiseConv2D",
    "SelectiveSSM",
    "SelectiveScan2D",
    "LayerScale",
    "StochasticDepth",
    "GatedCNNBlock",
    "LastLevel",
    "ClassifierHead",
]
