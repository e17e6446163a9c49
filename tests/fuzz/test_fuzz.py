"""Wrong inputs of every kind: a short form of `make fuzz`."""

import fuzz
import pytest

pytestmark = pytest.mark.no_backend
SHORT = {"files": 60, "annotations": 40, "images": 100, "commands": 25}


@pytest.mark.parametrize("kind", SHORT)
def test_no_wrong_input_breaks_it(kind, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # compiles nothing
    results = fuzz.run(kind, SHORT[kind])
    assert len(results) == SHORT[kind]
    assert not [result for result in results if result["outcome"] in fuzz.BAD], fuzz.table(results)
    assert any(result["outcome"] == "refused" for result in results)


@pytest.mark.exhaustive
def test_a_harmed_training_ends_as_one_that_was_not_harmed():
    """On the backend of this process: in `make test-all` on each of them."""
    results = fuzz.run("faults", 30)
    assert not [result for result in results if result["outcome"] in fuzz.BAD], fuzz.table(results)
