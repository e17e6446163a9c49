"""Batch normalisation over a batch that several devices share."""

from typing import Any

import keras
from keras import ops

from keras_mambaout.layers.replicas import replica_count, replica_mean
from keras_mambaout.serialization import serializable


@serializable
class ReplicaBatchNormalization(keras.layers.BatchNormalization):
    """Keras' `BatchNormalization`, whose statistics in training are those of the whole batch, over all devices.

    `mean = mean over devices of mean(x)`, `variance = mean over devices of mean((x - mean)^2)`: those of one device
    with the whole batch, as all devices have equally many values. How they get there:

    - JAX: a step is one program for the whole batch, XLA adds up the sums.
    - TensorFlow: an all-reduce of the strategy for each of the two, forward and backward.
    - PyTorch: the same with `torch.distributed`, in steps of a model that `distribute` prepared.

    Keras' own `synchronized=True` is not used, as it is for TensorFlow only. Arguments, variables and their names are
    those of Keras' layer.

    Example:
    ```python
    ReplicaBatchNormalization(momentum=0.9)(features, training=True)
    ```

    Source: [Peng et al., MegDet](https://arxiv.org/abs/1711.07240), section 3.3
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and self.trainable) or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        x, mean, variance = self.normalized(inputs)
        self.count(mean, variance)
        return x

    def normalized(self, inputs: Any) -> tuple[Any, Any, Any]:
        """Returns what training returns, and the mean and the variance, `(C,)`, without counting them."""
        x = ops.cast(inputs, "float32")
        axes = [axis for axis in range(len(x.shape)) if axis != self.axis % len(x.shape)]
        if replica_count() == 1:
            mean, variance = ops.moments(x, axes=axes)
        else:
            mean = replica_mean(ops.mean(x, axis=axes))
            shape = [-1 if axis == self.axis % len(x.shape) else 1 for axis in range(len(x.shape))]
            variance = replica_mean(ops.mean(ops.square(x - ops.reshape(mean, shape)), axis=axes))
        x = ops.batch_normalization(x, mean, variance, self.axis, self.beta, self.gamma, self.epsilon)
        return ops.cast(x, self.compute_dtype), mean, variance

    def count(self, mean: Any, variance: Any) -> None:
        """Counts the statistics of a batch in the moving averages."""
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1.0 - self.momentum))
