"""What `import keras_mambaout` brings in, and what its packages give."""

import importlib
import pkgutil
import subprocess
import sys

import pytest
from paths import ROOT

import keras_mambaout

SCRIPT = """
import sys
import keras
before = set(sys.modules)
import keras_mambaout
added = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(added & {"tensorflow", "jax", "torch", "matplotlib", "sklearn", "skimage", "tensorflow_datasets"}))
print(keras.backend.backend() != "tensorflow" and "tensorflow" in sys.modules)
print(sorted(name for name in sys.modules if name.startswith("keras_mambaout.") and name.count(".") == 1))
print(set(keras_mambaout.__all__) <= set(dir(keras_mambaout)))
print(keras_mambaout.detection.mask_rcnn.__name__, "keras_mambaout.detection" in sys.modules)
"""
LATER = """
import sys
import keras
import keras_mambaout

before = dict(keras.saving.get_custom_objects())
assert "keras_mambaout.{package}" not in sys.modules
stand_in = before["keras_mambaout>" + keras_mambaout._SAVED["{package}"][0]]
try:
    stand_in.from_config({{"unknown": 0}})
except Exception as error:
    assert not isinstance(error, RecursionError), error
assert "keras_mambaout.{package}" in sys.modules
after = keras.saving.get_custom_objects()
print(sorted(name.split(">")[1] for name, cls in after.items()
             if name.startswith("keras_mambaout>") and cls.__module__.startswith("keras_mambaout.{package}.")))
"""
FOUNDATION = [
    "arguments",
    "backend",
    "config",
    "files",
    "inference_settings",
    "layers",
    "memory",
    "models",
    "preprocessing",
    "scores",
    "serialization",
    "weights",
]
PACKAGES = ["keras_mambaout"] + [
    module.name for module in pkgutil.walk_packages(keras_mambaout.__path__, "keras_mambaout.") if module.ispkg
]


def test_no_task_no_other_backend_and_no_extra_is_imported():
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:5] == [
        "[]",
        "False",
        str([f"keras_mambaout.{name}" for name in FOUNDATION]),
        "True",
        "mask_rcnn True",
    ]


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'keras_mambaout' has no attribute 'detektion'"):
        keras_mambaout.detektion  # noqa: B018


@pytest.mark.first_on("torch")
@pytest.mark.parametrize("package", keras_mambaout._SAVED)
def test_keras_finds_the_classes_of_packages_that_are_not_imported(package):
    """Each with all that it registers, in a fresh process, in which nothing else has imported it."""
    result = subprocess.run([sys.executable, "-c", LATER.format(package=package)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(sorted(keras_mambaout._SAVED[package]))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_list_their_names_and_no_module_hides_one(package):
    package = importlib.import_module(package)
    names = package.__all__
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(package, name)] == []
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert [name for name in names if name in modules and not hasattr(getattr(package, name), "__path__")] == []


def test_nothing_private_of_keras_is_used():
    files = list((ROOT / "keras_mambaout").rglob("*.py"))
    assert len(files) > 20
    assert [file.name for file in files if "keras.src" in file.read_text()] == []
