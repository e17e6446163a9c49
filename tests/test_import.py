"""What `import keras_mambaout` brings in."""

import subprocess
import sys

SCRIPT = """
import sys
import keras
before = set(sys.modules)
import keras_mambaout
added = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(added & {"tensorflow", "jax", "torch", "matplotlib", "sklearn", "skimage", "tensorflow_datasets"}))
print(keras.backend.backend() != "tensorflow" and "tensorflow" in sys.modules)
"""


def test_no_other_backend_and_no_extra_is_imported():
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:2] == ["[]", "False"], result.stdout


def test_nothing_private_of_keras_is_used():
    from paths import ROOT

    files = list((ROOT / "keras_mambaout").rglob("*.py"))
    assert len(files) > 20
    assert [file.name for file in files if "keras.src" in file.read_text()] == []
