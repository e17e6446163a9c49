"""The order of the house: which module may import which, and how large a file may be."""

import ast
import functools
import graphlib

import pytest
from paths import ROOT

pytestmark = pytest.mark.no_backend

PACKAGE = "keras_mambaout"
MAX_LINES = 300
ORDER = [  # from the roof to the ground; modules of one line import none of another name in that line
    ("__init__", "__main__", "cli"),
    ("commands",),
    ("compare", "exporting", "explain", "share"),
    ("integrations",),
    ("classification", "detection", "segmentation"),
    ("training",),
    ("data",),
    ("visualization",),
    ("models",),
    ("weights",),
    ("preprocessing",),
    ("layers",),
    (
        "config",
        "arguments",
        "inference_settings",
        "files",
        "extras",
        "serialization",
        "backend",
        "memory",
        "scores",
        "rounding",
    ),
]
BESIDE_EACH_OTHER = {*ORDER[0], *ORDER[-1]}
UP = {("compare.worker", "__init__"): "reads the version; it runs as a script, after all of the package is imported"}


@functools.cache
def modules():
    """`{"detection.rcnn.model": path}`, packages by the name of their folder, and the top as "__init__"."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(module):
    """Yields `(imported module of this package, whether inside a function, line)`."""
    tree = ast.parse(modules()[module].read_text())
    functions = [
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    ]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import in line {node.lineno}"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package != PACKAGE:
                continue
            known = next((name for name in (rest, rest.rpartition(".")[0]) if name in modules()), "__init__")
            yield known, id(node) in inside, node.lineno


def floor(module):
    part = module.split(".")[0]
    return next(index for index, floor in enumerate(ORDER) if part in floor)


def test_every_module_has_its_place():
    parts = {module.split(".")[0] for module in modules()}
    assert len(modules()) > 100 and parts <= {part for floor in ORDER for part in floor}


def test_imports_go_down():
    wrong = []
    for module in modules():
        for imported, _, line in imports(module):
            here, there = module.split(".")[0], imported.split(".")[0]
            down = floor(imported) > floor(module)
            beside = here == there or (here in BESIDE_EACH_OTHER and there in BESIDE_EACH_OTHER)
            if (module, imported) not in UP and not down and not (beside and floor(imported) == floor(module)):
                wrong.append(f"{module}, line {line}, imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_way_of_others():
    """A package is its `__init__.py`, which importing a module in it runs as well: only reading it counts."""
    graph = {module: {imported for imported, _, _ in imports(module)} - {module} for module in modules()}
    graphlib.TopologicalSorter(graph).prepare()


def test_imports_inside_functions_are_of_others():
    """Only optional packages and backends are imported there."""
    late = {(module, imported) for module in modules() for imported, is_late, _ in imports(module) if is_late}
    assert not late, late


def test_the_rules_can_fail(monkeypatch, tmp_path):
    """The same checks on a house that breaks each of them."""
    files = {
        "detection": "",
        "detection.boxes": "from keras_mambaout.segmentation import labels",
        "segmentation": "",
        "segmentation.labels": "def late():\n    from keras_mambaout import layers",
        "layers": "from keras_mambaout.layers import norm",
        "layers.norm": "from keras_mambaout.layers import common",
        "layers.common": "import keras_mambaout.layers.norm",
        "config": "from keras_mambaout.layers.norm import LayerNorm",
    }
    paths = {name: tmp_path / name for name in files}
    for name, text in files.items():
        paths[name].write_text(text)
    monkeypatch.setitem(globals(), "modules", lambda: paths)
    with pytest.raises(AssertionError, match=r"boxes, line 1, imports segmentation.labels\s+config, line 1, imports"):
        test_imports_go_down()
    with pytest.raises(graphlib.CycleError):
        test_no_module_imports_itself_by_way_of_others()
    with pytest.raises(AssertionError, match=r"'segmentation\.labels', 'layers'"):
        test_imports_inside_functions_are_of_others()


def test_files_are_short():
    lines = {module: len(path.read_text().splitlines()) for module, path in modules().items()}
    assert {module: count for module, count in lines.items() if count > MAX_LINES} == {}
