"""Wrong inputs of every kind: a short form of `make fuzz`."""

import fuzz
import pytest

pytestmark = pytest.mark.no_backend
SHORT = {"files": 60, "annotations": 60, "images": 120, "commands": 40, "faults": 3}
SEEDS = {"faults": 2397}  # of each task one case, two of them killed


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_no_wrong_input_breaks_it(kind, monkeypatch):
    if kind == "faults":
        monkeypatch.setenv("KERAS_BACKEND", "torch")  # compiles nothing
    results = fuzz.run(kind, SHORT[kind], SEEDS.get(kind, 0))
    assert len(results) == SHORT[kind]
    assert not [result for result in results if result["outcome"] in fuzz.BAD], fuzz.table(results)
    assert any(result["outcome"] == "refused" for result in results)


@pytest.mark.exhaustive
def test_a_harmed_training_ends_as_one_that_was_not_harmed():
    """On the backend of this process: in `make test-all` on each of them."""
    results = fuzz.run("faults", 30)
    assert not [result for result in results if result["outcome"] in fuzz.BAD], fuzz.table(results)
