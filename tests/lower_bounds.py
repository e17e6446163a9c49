"""Runs the core tests with the oldest versions that `setup.cfg` allows: `make test-lower-bounds`.

    python tests/lower_bounds.py            under each backend
    python tests/lower_bounds.py jax        under one

Makes an environment for each backend in `.venv-lower/BACKEND`, in which every package that `setup.cfg` names for it is
at its lower bound, and what those need in turn as pip finds it. KerasHub and KerasCV are not among them: their lower
bounds are the versions that `make test` runs with, and need a newer Keras and TensorFlow.

PyTorch's builds for CPUs are on an index of their own: `PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu` saves
gigabytes of CUDA.
"""

import configparser
import os
import pathlib
import re
import subprocess
import sys

from run_backends import JAX_COMPILES_FAST

ROOT = pathlib.Path(__file__).parents[1]
EXTRAS = {"tensorflow": ("tensorflow", "training", "detection"), "jax": ("jax",), "torch": ("torch",)}
CPU = "tensorflow" if sys.platform == "darwin" else "tensorflow-cpu"  # the same without CUDA
ELSEWHERE = ("keras-hub", "keras-cv")
CORE = (  # models, weights, layers, preprocessing, saving and loading
    "tests/layers",
    "tests/preprocessing/test_imagenet.py",
    "tests/preprocessing/test_load_image.py",
    "tests/weights",
    "tests/share",
    "tests/models/test_models.py",
    "tests/models/test_saving.py",
    "tests/models/test_load_model.py",
    "tests/models/test_saved_models.py",
    "tests/models/test_training.py",
)
TRAINING = (
    "tests/preprocessing",
    "tests/classification",
    "tests/detection/test_coco_masks.py",
)  # where TensorFlow is, for `tf.data`


def requirements(backend: str) -> list[str]:
    """Returns the lowest versions for a backend, as pip takes them."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = config["options.extras_require"]
    lines = config["options"]["install_requires"].split() + [
        line for name in EXTRAS[backend] for line in extras[name].split()
    ]
    lowest = {}
    for line in lines:
        name, bound = re.fullmatch(r"([\w-]+)>=([\w.]+)(?:,!=[\w.*]+)*", line).groups()
        if name not in ELSEWHERE:
            lowest[name] = f"{name}=={bound}"
    return list(lowest.values())


def main(backends):
    failed = []
    for backend in backends or EXTRAS:
        folder = ROOT / ".venv-lower" / backend
        python = folder / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        packages = [name.replace("tensorflow==", f"{CPU}==") for name in requirements(backend)]
        packages += ["pytest", "hypothesis"]
        print(f"{backend}: {' '.join(packages)}", flush=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        tests = [*CORE, *(TRAINING if backend == "tensorflow" else ())]
        environment = {**os.environ, **JAX_COMPILES_FAST, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if subprocess.run([python, "-m", "pytest", "-q", *tests], cwd=ROOT, env=environment, check=False).returncode:
            failed.append(backend)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
