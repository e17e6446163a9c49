"""Fresh virtual environments, for what must work without this one."""

import os
import pathlib
import subprocess
import sys

BACKENDS = ("tensorflow", "jax", "torch")


def create(folder: pathlib.Path, *arguments) -> pathlib.Path:
    """Makes an environment in `folder`, runs `pip install` there with these arguments, and returns its python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", *arguments]
    result = subprocess.run(install, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return python


def without(folder: pathlib.Path, missing, **variables) -> dict[str, str]:
    """Returns the variables of a process that cannot import some packages: those in `folder` hide them."""
    for package in missing:
        (folder / package).mkdir(parents=True, exist_ok=True)
        error = f"raise ModuleNotFoundError({f'No module named {package!r}'!r}, name={package!r})"
        (folder / package / "__init__.py").write_text(error)
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}


def alone(backend: str, folder: pathlib.Path) -> dict[str, str]:
    """Returns the variables of a process that has no other backend."""
    return without(folder, [name for name in BACKENDS if name != backend], KERAS_BACKEND=backend)
