"""`fuzz.py` itself: it sees each outcome as what it is, and goes on behind a death."""

import fuzz
import pytest

pytestmark = pytest.mark.no_backend
CASES = """
import os, signal, sys
COUNT = 8
def prepare(folder):
    return list(range(int(sys.argv[sys.argv.index("--first") + 1]), COUNT))
def make(left, random):
    case = left.pop(0)
    if case == 7: raise OSError("cannot be made")
    return f"case {case}", case
def attempt(left, case):
    if case == 1: raise KeyError("lost")
    if case == 2: os.kill(os.getpid(), signal.SIGSEGV)
    if case == 3: bytearray(2**33)
    if case == 4: sys.exit(3)
    return {0: "refused", 5: "silent", 6: "right"}[case]
"""


@pytest.fixture
def outcomes(tmp_path, monkeypatch):
    (tmp_path / "fuzz_outcomes.py").write_text(CASES)
    environment = fuzz.environment()
    environment["PYTHONPATH"] += f":{tmp_path}"
    monkeypatch.setattr(fuzz, "environment", lambda: environment)


def test_outcomes(outcomes):
    results = fuzz.run("outcomes", 7)
    assert [row["case"] for row in results] == list(range(7))
    assert [row["wrong"] for row in results] == [f"case {case}" for case in range(7)]
    expected = ["refused", "traceback", "death", "traceback", "traceback", "silent", "right"]
    assert [row["outcome"] for row in results] == expected
    assert "KeyError: 'lost'" in results[1]["detail"] and "MemoryError" in results[3]["detail"]
    assert "status -11" in results[2]["detail"]
    assert fuzz.table(results).endswith("| all | 7 | 1 | 1 | 3 | 1 | 1 | 0 |")


def test_a_kind_that_cannot_be_prepared_or_made_is_an_error(outcomes):
    with pytest.raises(RuntimeError, match="no_such_kind could not be prepared"):
        fuzz.run("no_such_kind", 3)
    with pytest.raises(RuntimeError, match=r"a case not made (.|\n)*OSError: cannot be made"):
        fuzz.run("outcomes", 8)
