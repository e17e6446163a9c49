"""What README says is so."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest
import seeded
from hub_server import HubServer
from paths import ROOT
from PIL import Image
from readme_table import with_table

import keras_mambaout

README = (ROOT / "README.md").read_text()


def test_table_of_models_is_that_of_the_package():
    assert with_table(README) == README, "run: python tests/helpers/readme_table.py"


def test_first_lines_run(tmp_path, seeded_file):
    """README's first code block as it stands, the weights served by a hub on this machine."""
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    Image.fromarray(seeded.photo(300, 400)).save(tmp_path / "photo.jpg")
    with HubServer() as hub:
        hub.add("timm/mambaout_tiny.in1k", pathlib.Path(seeded_file("mambaout_tiny")).read_bytes())
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert result.returncode == 0, result.stderr
    assert len(re.findall(r"\('n\d{8}', ", result.stdout)) == 5


def test_names_in_readme_exist():
    names = set(re.findall(r"keras_mambaout\.([A-Za-z_]+)", README)) - {"keras_mambaout"}
    assert {"MambaOutTiny", "load_image", "freeze_stages"} <= names
    modules = {name for name in names if importlib.util.find_spec(f"keras_mambaout.{name}")}
    assert {"classification", "detection", "segmentation", "integrations"} <= modules
    assert [name for name in names - modules if not hasattr(keras_mambaout, name)] == []


def anchors(text):
    """Returns the anchors that GitHub gives the headings of a Markdown text."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["README.md", "docs/training.md", "docs/reliability.md", "docs/deployment.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("http")]
    lost = []
    for link in links:
        place, _, anchor = link.partition("#")
        file = (ROOT / page).parent / place if place else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            lost.append(link)
    assert links and lost == []
