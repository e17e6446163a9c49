"""PyTorch on several devices: `DistributedDataParallel`, one process for each device."""

import atexit
import contextlib
import logging
import os
from collections.abc import Iterator

import keras
import torch
import torch.distributed

from keras_mambaout.layers.replicas import shared_step
from keras_mambaout.training.distribution import Devices

logger = logging.getLogger(__name__)
SEED_STEP = 0x9E3779B1  # far apart: Keras draws with the sum of seed and counter


@contextlib.contextmanager
def data_parallel(count: int | None) -> Iterator[Devices]:
    """Yields `Devices` over the processes that `torchrun` started, one device each."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        _check_one(count, max(torch.cuda.device_count(), 1))
        yield Devices()
        return
    _choose_device(count)
    if not torch.distributed.is_initialized():  # once: the processes cannot be connected a second time
        on_gpu = keras.ops.zeros(()).is_cuda  # Keras can be told to use the CPU
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
        atexit.register(torch.distributed.destroy_process_group)
    processes = torch.distributed.get_world_size()
    devices = _TorchDevices(processes, processes, torch.distributed.get_rank())
    try:
        yield devices
    finally:
        devices.release()


class _TorchDevices(Devices):
    _model = None

    def prepare(self, model):
        """Connects `fit` and `evaluate` of this model to the other processes, until the context is left.

        - `train_step` is Keras' own, with the forward pass through `DistributedDataParallel`, which averages
          the gradients. It also gives all processes the weights of the first.
        - In `train_step` and `test_step` the model's losses and statistics are those of the whole batch.
        - `get_metrics_result`, from which logs are made, sums the metrics over all processes.
        - Each process draws its own dropout and drop path, but the same from the model's `shared_generators`.
        """
        self.release()
        self._model = model
        model.test_step = _shared(model.test_step)
        if model.trainable_variables:
            model.train_step = _shared(_train_step(model))
        model.get_metrics_result = _metrics_result(model)
        shared = {id(generator.state) for generator in getattr(model, "shared_generators", ())}
        for variable in model.non_trainable_variables:
            if variable.name == "seed_generator_state" and id(variable) not in shared:
                seed, counter = variable.numpy().tolist()
                variable.assign([(seed + self.process * SEED_STEP) % 2**31, counter])

    def metric_values(self, variables):
        return [value.cpu().numpy() for value in _summed(variables)]

    def add_metric_values(self, variables, values):
        """In the chief: what the others count is added when it is read."""
        if self.chief:
            super().add_metric_values(variables, values)

    def release(self):
        """Makes the prepared model an ordinary one again."""
        if self._model is not None:
            for name in ("train_step", "test_step", "get_metrics_result"):
                vars(self._model).pop(name, None)

    def _gather(self, value):
        values = [None] * self.processes
        torch.distributed.all_gather_object(values, value)
        return values


class _Forward(torch.nn.Module):
    """The forward pass of a Keras model as a module, for `DistributedDataParallel` to wrap."""

    def __init__(self, model):
        super().__init__()
        self.model, self.call = model, model.call

    def forward(self, *args, **kwargs):
        return self.call(*args, **kwargs)


def _train_step(model):
    own_step = model.train_step
    wrapper = torch.nn.parallel.DistributedDataParallel(_Forward(model))

    def train_step(data):
        model.call = wrapper.__call__  # not `wrapper` itself, which would become a layer of the model
        try:
            return own_step(data)
        finally:
            del model.call

    return train_step


def _shared(step):
    """Returns a step whose losses and statistics are those of the whole batch."""

    def step_of_all(data):
        with shared_step(torch.distributed.get_world_size(), _Mean.apply):
            return step(data)

    return step_of_all


class _Mean(torch.autograd.Function):
    """The mean over processes, through which gradients flow to all of them."""

    @staticmethod
    def forward(context, x):
        x = x.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(x)
        return x / torch.distributed.get_world_size()

    @staticmethod
    def backward(context, gradient):
        return _Mean.forward(None, gradient)


def _metrics_result(model):
    own_result = model.get_metrics_result

    def get_metrics_result():
        variables = model.metrics_variables
        with keras.StatelessScope(state_mapping=list(zip(variables, _summed(variables), strict=True))):
            return own_result()

    return get_metrics_result


def _summed(variables):
    """Returns the values of variables, each summed over all processes."""
    values = [variable.value.detach() for variable in variables]
    packed = torch.cat([value.double().flatten() for value in values])
    torch.distributed.all_reduce(packed)
    sums = packed.split([value.numel() for value in values])
    return [part.reshape(value.shape).to(value.dtype) for part, value in zip(sums, values, strict=True)]


def _choose_device(count):
    """Makes the GPU of this process PyTorch's current one, which is what Keras uses."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if count not in (None, here):
        raise ValueError(f"`devices` is {count}, but torchrun started {here} process(es) on this host: use 'auto'.")
    if torch.cuda.is_available():
        if here > torch.cuda.device_count():
            raise ValueError(
                f"torchrun started {here} processes on this host, which has {torch.cuda.device_count()} GPU(s): "
                f"start it with --nproc-per-node {torch.cuda.device_count()}."
            )
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))


def _check_one(count, available):
    """PyTorch needs one process for each device, and without torchrun there is only one."""
    wanted = count or available
    message = f"PyTorch trains on several devices with one process each: torchrun --nproc-per-node {wanted} script.py"
    if count is not None and count > 1:
        raise ValueError(f"`devices` is {count}, but this is one process. {message}")
    if wanted > 1:
        logger.warning("Of %d GPUs one is used. %s", available, message)
