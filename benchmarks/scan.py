"""Time of the state space model's scan and layer on all backends, beside mambapy's and transformers'.

    python benchmarks/scan.py --reference /path/to/venv/bin/python [--lengths] [--backends torch]

The reference's environment has `pip install mambapy transformers torch`. Each runs in a process of its own, in turn, so
that all of them meet the same moods of the machine; medians of the rounds. `scan` is `h_t = a_t h_{t-1} + b_t` over
3136 steps of two sequences of 192 channels, with 1 and 16 states; "selective" has its coefficients computed from
`x`, `dt`, `A`, `B` and `C`, and their sum over the states, beside mambapy's `selective_scan`; "gradient" is forward and
backward. The layer is `SelectiveSSM` with 192 channels, beside the recurrence of `MambaMixer` with its projections.
`--lengths` prints the layer over the number of steps instead.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
SIZE = (2, 3136, 192)
STATES = (1, 16)
JOBS = ("scan", "selective", "layer")
LENGTHS = (196, 784, 3136, 12544)


def numbers(*shape, seed=0):
    import numpy as np

    return np.random.RandomState(seed).uniform(-1, 1, shape).astype("float32")


def coefficients(states, length):
    """Returns `x`, `dt`, `A`, `B` and `C` of the sizes that they have in a network."""
    batch, _, channels = SIZE
    x, dt = numbers(batch, length, channels), abs(numbers(batch, length, channels, seed=1)) / 10
    B, C = (numbers(batch, length, states, seed=seed) for seed in (2, 3))
    return [x, dt, -states * abs(numbers(channels, states, seed=4)), B, C]


def ours(job, states, length):
    """Returns a function that computes a job once, with gradients or without, on Keras' backend."""
    import keras

    from keras_mambaout.layers import SelectiveSSM, kernels

    batch, _, channels = SIZE
    if job.startswith("scan"):
        arrays, function = [numbers(batch, length, channels, states, seed=s) for s in (0, 1)], kernels.linear_scan
    elif job.startswith("selective"):
        arrays, function = coefficients(states, length), kernels.selective_scan
    else:
        layer = SelectiveSSM(states)
        layer.build((None, None, channels))
        arrays = [numbers(batch, length, channels), *(weight.numpy() for weight in layer.weights)]

        def function(x, *weights):
            return layer.stateless_call(list(weights), [], x)[0]

    return {"torch": on_torch, "jax": on_jax, "tensorflow": on_tensorflow}[keras.backend.backend()](
        function, arrays, job.endswith("gradient")
    )


def on_torch(function, arrays, gradient):
    import torch

    tensors = [torch.tensor(array, requires_grad=gradient) for array in arrays]

    def run():
        if not gradient:
            with torch.no_grad():
                return function(*tensors)
        return torch.autograd.grad(function(*tensors).sum(), tensors)

    return run


def on_jax(function, arrays, gradient):
    import jax

    arrays = jax.device_put(arrays)
    if gradient:
        compiled = jax.jit(jax.grad(lambda *inputs: function(*inputs).sum(), tuple(range(len(arrays)))))
    else:
        compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arrays))


def on_tensorflow(function, arrays, gradient):
    import tensorflow as tf

    tensors = [tf.constant(array) for array in arrays]

    @tf.function
    def compute(tensors):
        if not gradient:
            return function(*tensors)
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = tf.reduce_sum(function(*tensors))
        return tape.gradient(total, tensors)

    return lambda: tf.nest.map_structure(lambda tensor: tensor.numpy(), compute(tensors))


def reference(job, states, length):
    """The same by mambapy's parallel scan, or by transformers' recurrence."""
    batch, _, channels = SIZE
    if job.startswith("scan"):
        from mambapy.pscan import pscan

        arrays = [numbers(batch, length, channels, states, seed=s) for s in (0, 1)]
        return on_torch(pscan, arrays, job.endswith("gradient"))
    if job.startswith("selective"):
        from mambapy.mamba import MambaBlock

        function = functools.partial(MambaBlock.selective_scan, None, D=0)
        return on_torch(function, coefficients(states, length), job.endswith("gradient"))
    from transformers import MambaConfig
    from transformers.models.mamba import modeling_mamba as mamba

    config = MambaConfig(hidden_size=channels, intermediate_size=channels, state_size=states, expand=1)
    mixer = mamba.MambaMixer(config, 0)
    rank = mixer.time_step_rank

    def function(x, *weights):
        import torch

        dt, b, c = torch.split(mixer.x_proj(x), [rank, states, states], dim=-1)
        dt = torch.nn.functional.linear(dt, mixer.dt_proj.weight).transpose(1, 2)
        a = -torch.exp(mixer.A_log)
        arguments = (x.transpose(1, 2), dt, a, b.transpose(1, 2), c.transpose(1, 2), mixer.D)
        output = mamba.mamba_selective_scan(*arguments, delta_bias=mixer.dt_proj.bias, delta_softplus=True)
        return output[0] if isinstance(output, tuple) else output

    run = on_torch(function, [numbers(batch, length, channels)], job.endswith("gradient"))
    if not job.endswith("gradient"):
        return run
    import torch

    x = torch.tensor(numbers(batch, length, channels), requires_grad=True)
    weights = [x, mixer.x_proj.weight, *mixer.dt_proj.parameters(), mixer.A_log, mixer.D]
    return lambda: torch.autograd.grad(function(x).sum(), weights)


def work(make):
    """Answers each line of standard input, a job, with the milliseconds that one run takes."""
    made = {}
    for line in sys.stdin:
        job = tuple(json.loads(line))
        if job not in made:
            made[job] = make(*job)
            made[job]()
        start = time.perf_counter()
        made[job]()
        print(json.dumps(1000 * (time.perf_counter() - start)), flush=True)


class Worker:
    """A process that runs jobs."""

    def __init__(self, python, name):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        if name != "reference":
            environment["KERAS_BACKEND"] = name
        self.process = subprocess.Popen(
            [python, __file__, "--work", name],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def milliseconds(self, *job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def table(workers, jobs, rounds):
    """Prints the median of each job and worker, and its ratio to the reference."""
    print(f"| job | states | steps | {' | '.join(workers)} |")
    print("|---" * (3 + len(workers)) + "|")
    for job, states, length in jobs:
        times = {name: [] for name in workers}
        for _ in range(rounds):
            for name, worker in workers.items():
                times[name].append(worker.milliseconds(job, states, length))
        medians = {name: statistics.median(values) for name, values in times.items()}
        base = medians.get("reference")
        cells = [f"{value:.1f}" + (f" ({value / base:.2f})" if base else "") for value in medians.values()]
        print(f"| {job} | {states} | {length} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", help="Python that has mambapy and transformers")
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--lengths", action="store_true", help="the layer over the number of steps")
    parser.add_argument("--jobs", nargs="+", default=JOBS, choices=JOBS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(reference if args.work == "reference" else ours)
        return
    workers = {name: Worker(sys.executable, name) for name in args.backends}
    if args.lengths:
        jobs = [(job, n, length) for n in STATES for length in LENGTHS for job in ("layer", "layer, gradient")]
        table(workers, jobs, args.rounds)
        return
    if args.reference:
        workers = {"reference": Worker(args.reference, "reference"), **workers}
    names = [f"{job}{kind}" for job in args.jobs for kind in ("", ", gradient")]
    jobs = [(name, n, SIZE[1]) for n in STATES for name in names]
    table(workers, jobs, args.rounds)


if __name__ == "__main__":
    main()
