"""Fresh virtual environments, for what must work without this one."""

import pathlib
import subprocess
import sys


def create(folder: pathlib.Path, *arguments) -> pathlib.Path:
    """Makes an environment in `folder`, runs `pip install` there with these arguments, and returns its python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", *arguments]
    result = subprocess.run(install, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return python
