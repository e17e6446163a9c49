"""Runs a worker in several processes, each of which writes what it found into a folder, as JSON."""

import contextlib
import json
import os
import socket
import subprocess
import sys

import keras

BACKEND = keras.backend.backend()
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_backend_optimization_level=0"}  # compiles in less time


def run_in_processes(worker, environments, devices, folder, *more):
    """Starts a worker, a module, with each environment at the same time; returns what each process wrote."""
    with started(worker, environments, devices, folder, *more) as processes:
        for process in processes:
            output, _ = process.communicate(timeout=600)
            assert process.returncode == 0, output[-3000:]
    return [json.loads((folder / f"{index}.json").read_text()) for index in range(len(environments))]


@contextlib.contextmanager
def started(worker, environments, devices, folder, *more):
    """Yields the processes of a worker, one for each environment, but on PyTorch only the one that starts them."""
    arguments = [worker.__file__, str(devices), str(folder), *more]
    if BACKEND == "torch":
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(len(environments))]
        commands = [([*launcher, *arguments], {})]
    else:
        commands = [(arguments, environment) for environment in environments]
    with contextlib.ExitStack() as stack:
        processes = []
        for command, environment in commands:
            process = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **ENVIRONMENT, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.callback(process.kill)
            processes.append(process)
        yield processes


def environments(count):
    """Returns for each process the variables that tell its backend of the others."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    if BACKEND == "tensorflow":
        cluster = {"worker": addresses}
        tasks = [{"type": "worker", "index": index} for index in range(count)]
        return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]
    return [
        {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": ",".join(addresses),
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
        }
        for index in range(count)
    ]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
