"""The process of one backend of mask_rcnn_parts.py; `KERAS_BACKEND` says which."""

import contextlib
import time
from unittest import mock

import keras
from dense_prediction import make_batch
from keras import ops

from keras_mambaout.compare import frameworks
from keras_mambaout.compare.protocol import serve
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.detection.rcnn import losses
from keras_mambaout.detection.rcnn import model as rcnn
from keras_mambaout.training import AdamW

BACKEND = frameworks.BACKEND
CLASSES = 80
WITHOUT_GRADIENTS = ("proposal_targets", "select_proposals", "box_targets", "mask_targets")
FUNCTIONS = {
    rcnn: (*WITHOUT_GRADIENTS, "multiscale_roi_align"),
    losses: ("proposal_losses", "box_losses", "mask_loss"),
}


class PartsWorker:
    """The public methods are the requests that it answers."""

    def build(self, model, size, objects):
        """Builds the model, and compiles and runs each part once; returns the names of the parts."""
        self.labels = make_batch(1, *size, objects, CLASSES)
        self.images = self.labels.pop("images")
        self.model = mask_rcnn(model, num_classes=CLASSES, weights=None)
        self.model.compile(AdamW(1e-4))
        self.runs = {}
        for name, function, arguments in self._calls():
            earlier = sum(other.startswith(name) for other in self.runs)
            kinds = (False,) if name in WITHOUT_GRADIENTS else (False, True)
            runs = [compiled(function, arguments, gradients) for gradients in kinds]
            self.runs[f"{name} {earlier + 1}" if earlier else name] = runs
        self.runs |= {"optimizer": [self._optimizer_step()], "whole step": [self._train_step]}
        for part in self.runs:
            self.seconds(part)
        return list(self.runs)

    def seconds(self, part):
        """Returns the seconds that a part takes forward, and with gradients if it has any."""
        seconds = []
        for run in self.runs[part]:
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        return seconds

    def _calls(self):
        """Returns the name, the function and the arguments of each part, in the order of a step."""
        pyramid = self.model.pyramid.get_layer("feature_pyramid")
        images, labels = keras.tree.map_structure(ops.convert_to_tensor, (self.images, self.labels))
        backbone = keras.Model(self.model.backbone.input, pyramid.input)
        calls = [("backbone", backbone.stateless_call, ((*weights_of(backbone), images), {"training": True}))]

        def kept(name, function, alone=None, weights=()):
            def call(*args, **kwargs):
                calls.append((name, alone or function, ((*weights, *args), kwargs)))
                return function(*args, **kwargs)

            return call

        with contextlib.ExitStack() as stack:
            for module, names in FUNCTIONS.items():
                for name in names:
                    stack.enter_context(mock.patch.object(module, name, kept(name, getattr(module, name))))
            for layer in (pyramid, self.model.rpn_head, self.model.box_head, self.model.mask_head):
                call = kept(layer.name, layer.call, layer.stateless_call, weights_of(layer))
                stack.enter_context(mock.patch.object(layer, "call", call))
            stack.enter_context(frameworks.framework.disable_jit() if BACKEND == "jax" else contextlib.nullcontext())
            self.model.compute_loss(images, labels, self.model(images, training=True))
        return calls

    def _train_step(self):
        self.model.train_on_batch(self.images, self.labels)
        frameworks.synchronize(self.model)

    def _optimizer_step(self):
        optimizer, variables = self.model.optimizer, self.model.trainable_variables
        optimizer.build(variables)
        gradients = [ops.ones(variable.shape) for variable in variables]
        if BACKEND == "jax":
            values = [copies(optimizer.variables), copies(variables)]
            return compiled(lambda state, weights: optimizer.stateless_apply(state, gradients, weights), (values, {}))
        if BACKEND == "torch":
            return lambda: optimizer.apply(gradients, variables)
        step = frameworks.framework.function(lambda: optimizer.apply(gradients, variables), autograph=False)
        return lambda: (step(), variables[-1].numpy())


def weights_of(layer):
    """Returns what `stateless_call` takes first."""
    return [copies(layer.trainable_variables), copies(layer.non_trainable_variables)]


def copies(variables):
    """Returns their values, which a train step on JAX does not overwrite."""
    return [ops.convert_to_tensor(variable.numpy()) for variable in variables]


def compiled(function, arguments, gradients=False):
    """Returns a function that computes `function(*args, **kwargs)` once, or the gradients of the sum of its squares."""
    leaves = keras.tree.flatten(arguments)
    places = [place for place, leaf in enumerate(leaves) if ops.is_tensor(leaf)]
    tensors = [leaves[place] for place in places]

    def call(*tensors):
        new = dict(enumerate(leaves)) | dict(zip(places, tensors, strict=True))
        args, kwargs = keras.tree.pack_sequence_as(arguments, list(new.values()))
        return keras.tree.flatten(function(*args, **kwargs))

    def total(*tensors):
        return sum(ops.sum(ops.square(output)) for output in call(*tensors) if is_float(output))

    numbers = [number for number, tensor in enumerate(tensors) if is_float(tensor)]  # that have gradients
    return {"torch": on_torch, "jax": on_jax, "tensorflow": on_tensorflow}[BACKEND](
        call, total, tensors, gradients and numbers
    )


def is_float(tensor):
    return "float" in keras.backend.standardize_dtype(tensor.dtype)


def on_torch(call, total, tensors, numbers):
    import torch

    tensors = [tensor.detach().requires_grad_(number in (numbers or ())) for number, tensor in enumerate(tensors)]

    def run():
        if numbers:
            return torch.autograd.grad(total(*tensors), [tensors[number] for number in numbers], allow_unused=True)
        with torch.no_grad():
            return call(*tensors)

    return run


def on_jax(call, total, tensors, numbers):
    import jax

    function = jax.jit(jax.grad(total, numbers) if numbers else call)
    return lambda: jax.block_until_ready(function(*tensors))


def on_tensorflow(call, total, tensors, numbers):
    import tensorflow as tf

    @tf.function(autograph=False)
    def compute(*tensors):
        if not numbers:
            return call(*tensors)
        inputs = [tensors[number] for number in numbers]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = total(*tensors)
        return [tf.convert_to_tensor(grad) for grad in tape.gradient(value, inputs) if grad is not None]

    return lambda: [tensor.numpy() for tensor in compute(*tensors)]


worker = PartsWorker()
serve({"build": worker.build, "seconds": worker.seconds})
