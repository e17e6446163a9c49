"""Every package has a lower bound, which `make test-lower-bounds` installs and `make test` is above."""

import configparser

import lower_bounds
import pytest
from packaging.requirements import Requirement
from paths import ROOT

pytestmark = pytest.mark.no_backend


def declared():
    """Returns what `setup.cfg` asks for outside of development."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = config["options.extras_require"]
    lines = [config["options"]["install_requires"]]
    lines += [extras[name] for name in ("tensorflow", "jax", "torch", "data", "training", "detection")]
    return [Requirement(line) for block in lines for line in block.split()]


def test_the_lower_bounds_are_those_of_the_package():
    tested = [line for backend in lower_bounds.EXTRAS for line in lower_bounds.requirements(backend)]
    for requirement in declared():
        (bound,) = [part.version for part in requirement.specifier if part.operator == ">="]
        assert bound in requirement.specifier, requirement
        assert (f"{requirement.name}=={bound}" in tested) == (requirement.name not in lower_bounds.ELSEWHERE)


def test_the_versions_of_development_are_allowed():
    pinned = {}
    for file in (ROOT / "requirements").glob("*.txt"):
        for line in file.read_text().splitlines():
            name, separator, version = line.partition(";")[0].partition(" #")[0].strip().partition("==")
            if separator:
                pinned[name] = version
    for requirement in declared():
        assert pinned[requirement.name] in requirement.specifier
        if requirement.name in lower_bounds.ELSEWHERE:  # tested nowhere else
            assert f">={pinned[requirement.name]}".startswith(str(requirement.specifier))
