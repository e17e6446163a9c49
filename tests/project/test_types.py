"""The annotations that `py.typed` promises: a user's script passes pyright, and mistakes are found."""

import json
import shutil
import subprocess

import environments
import pytest
from paths import ROOT

pytestmark = pytest.mark.no_backend

PYRIGHT = "pyright[nodejs]==1.1.414"
FIXTURES = ROOT / "tests" / "fixtures"


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """A function that returns pyright's errors in a script, `{line: messages}`, in an environment without a backend."""
    folder = tmp_path_factory.mktemp("types")
    python = environments.create(folder / "venv", "-r", ROOT / "requirements" / "base.txt", PYRIGHT, ROOT)

    def errors(name):
        shutil.copy(FIXTURES / name, folder / name)
        command = [python, "-m", "pyright", "--outputjson", "--pythonpath", python, name]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        found = {}
        for diagnostic in json.loads(result.stdout)["generalDiagnostics"]:
            if diagnostic["severity"] == "error":
                found.setdefault(diagnostic["range"]["start"]["line"] + 1, []).append(diagnostic["message"])
        return found

    return errors


def test_a_users_script_has_no_errors(check):
    assert check("consumer.py") == {}


def test_mistakes_are_found(check):
    lines = (FIXTURES / "consumer_mistakes.py").read_text().splitlines()
    expected = [number for number, line in enumerate(lines, start=1) if line.endswith("# mistake")]
    assert sorted(check("consumer_mistakes.py")) == expected
