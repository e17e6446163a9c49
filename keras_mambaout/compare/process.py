"""A worker process that stays alive and answers one request at a time."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

KEEP_MEMORY = "--keep-memory"  # an argument of the worker


def keras_worker_command(backend: str) -> tuple[list[str], dict[str, str]]:
    """Returns the command line and the environment of `compare.worker` on a backend."""
    command = [sys.executable, "-m", "keras_mambaout.compare.worker"]
    return command, {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}


class WorkerError(RuntimeError):
    """A worker could not start, ended, or failed at a request; the message is one line."""


class Worker:
    """A subprocess that answers requests with `protocol.serve`.

    Args:
        name: Name in error messages.
        command: Command line as a list.
        environment: Environment variables, added to those of this process.

    Example:
    ```python
    worker = Worker("jax", *keras_worker_command("jax"))
    worker.request("describe")
    worker.close()
    ```
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]):
        self.name = name
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115, closed by close()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **environment},
        )

    def request(self, method: str, **arguments: Any) -> Any:
        """Returns what the worker's method returns.

        Raises:
            WorkerError: If the method fails in the worker or the process has ended.
        """
        try:
            self._process.stdin.write(json.dumps({"method": method, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"{self.name}: the process ended: {self._last_error_line()}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"{self.name}: {reply['error']}")
        return reply["result"]

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):  # a request that a dead process has not read
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()

    def _last_error_line(self):
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"
