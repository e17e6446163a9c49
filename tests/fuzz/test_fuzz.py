"""Wrong inputs of every kind: a short form of `make fuzz`."""

import fuzz
import pytest

pytestmark = pytest.mark.no_backend
SHORT = {"files": 60, "annotations": 60, "images": 120, "commands": 40}


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_no_wrong_input_breaks_it(kind):
    results = fuzz.run(kind, SHORT[kind])
    assert len(results) == SHORT[kind]
    assert not [result for result in results if result["outcome"] in fuzz.BAD], fuzz.table(results)
    assert any(result["outcome"] == "refused" for result in results)
