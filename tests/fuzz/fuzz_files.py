"""Model files that are damaged, or made to do harm: `.keras`, `.safetensors`, `.weights.h5`, `.pth`, hub folders.

A case is right when what comes out has the weights of the undamaged file. Not tried, since nothing can see it: flipped
bits in the numbers of a `.weights.h5` file, of a `.safetensors` file that others wrote, and of a `.keras` or `.pth`
file that was packed anew with fresh checksums.
"""

import collections
import io
import json
import logging
import os
import pickle
import shutil
import sys
import warnings
import zipfile

import h5py
import huggingface_hub
import keras
import numpy as np
import safetensors.numpy
import torch

import keras_mambaout

COUNT = 5200
TINY = keras_mambaout.MambaOutConfig(depths=(1, 1, 1, 1), dims=(4, 4, 4, 4))
CANARY = "canary_of_fuzz"  # a module and files that must stay untouched
HUGE = 2**40


# === What all cases start from ===


def prepare(folder):
    keras.utils.set_random_seed(0)
    made = collections.defaultdict(dict, folder=folder, seen=[], log=[])
    backbone = keras_mambaout.MambaOutBackbone(TINY, input_shape=(32, 32, 3), output_norms=True, name="backbone")
    _randomise(backbone)
    made["backbone"] = backbone
    classifier = keras_mambaout.MambaOutClassifier(
        keras_mambaout.MambaOutBackbone(TINY, input_shape=(32, 32, 3)), 3, inference_settings={"class_names": [*"abc"]}
    )
    _randomise(classifier)
    timm = keras_mambaout.create_model("mambaout_test", weights=None, classes=3)
    _randomise(timm)
    for name, model in (("classifier", classifier), ("backbone", backbone)):
        made["keras"][name] = _written(folder, "a.keras", model.save)
        made["weights"][name] = [variable.numpy() for variable in model.weights]
    made["h5"] = _written(folder, "a.weights.h5", classifier.save_weights)
    made["extents"] = _extents(made["h5"])
    made["ours"] = _written(folder, "a.safetensors", lambda path: keras_mambaout.save_safetensors(classifier, path))
    made["tensors"] = safetensors.numpy.load(made["ours"])
    made["foreign"] = safetensors.numpy.save(made["tensors"])
    tensors = {name: torch.from_numpy(array.copy()) for name, array in made["tensors"].items()}
    made["pth"] = _written(folder, "a.pth", lambda path: torch.save(tensors, path))
    keras_mambaout.save_for_hub(timm, os.path.join(folder, "hub"))
    made["hub"] = {name: _read(os.path.join(folder, "hub", name)) for name in ("config.json", "model.safetensors")}
    made["weights"]["hub"] = [variable.numpy() for variable in timm.weights]
    made["bombs"] = [_bomb(made["keras"]["classifier"], part) for part in ("config.json", "model.weights.h5", "new")]
    made["target"] = keras_mambaout.MambaOutClassifier(
        keras_mambaout.MambaOutBackbone(TINY, input_shape=(32, 32, 3)), 3, name="target"
    )
    _randomise(made["target"])
    made["fresh"] = [variable.numpy() for variable in made["target"].weights]
    _watch(made)
    return made


def _randomise(model):
    """Gives every number a value of its own, so that weights in the wrong place show."""
    for number, variable in enumerate(model.weights):
        values = np.random.default_rng(number).normal(size=variable.shape)
        variable.assign(np.asarray(values, "float32"))


def _written(folder, name, write):
    path = os.path.join(folder, name)
    write(path)
    return _read(path)


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _extents(content):
    """Returns where the numbers of an HDF5 file lie."""
    found = []
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(
            lambda name, item: (
                found.append((item.id.get_offset(), item.id.get_offset() + item.id.get_storage_size()))
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


def _bomb(content, part):
    parts = _unzipped(content)
    parts["assets/x" if part == "new" else part] = bytes(10**8)
    return _zipped(parts, zipfile.ZIP_DEFLATED)


def _watch(made):
    """Notes what no file may cause: code that runs, files and connections that open; and what is warned of."""
    with open(os.path.join(made["folder"], f"{CANARY}.py"), "w", encoding="utf-8") as file:
        file.write("import keras\n\nclass Layer(keras.layers.Layer):\n    pass\n")
    sys.path.insert(0, made["folder"])
    shutil.copytree(os.path.join(made["folder"], "hub"), os.path.join(made["folder"], CANARY))
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    huggingface_hub.constants.HF_HUB_CACHE = os.path.join(made["folder"], "cache")

    def audit(event, arguments):
        forbidden = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.spawn")
        if event in forbidden or (event in ("open", "import") and CANARY in str(arguments[0])):
            made["seen"].append(f"{event} {str(arguments)[:200]}")

    sys.addaudithook(audit)
    handler = logging.Handler()
    handler.emit = lambda record: made["log"].append(record.getMessage())
    logging.getLogger("keras_mambaout").addHandler(handler)


# === What is done to them ===


def make(made, random):
    names, weights = zip(*((name, weight) for name, (weight, _) in WRONG.items()), strict=True)
    wrong = str(random.choice(names, p=np.array(weights) / sum(weights)))
    return wrong, WRONG[wrong][1](made, random)


def _bytes(content, random, free=None):
    """Returns content with one kind of damage; what it changes in place is where `free` says."""
    content = bytearray(content)
    size = len(content)
    allowed = np.arange(size) if free is None else free
    kind = random.integers(8)
    place = int(random.choice(allowed))
    if kind == 0:
        return bytes(content[: int(random.integers(size))])
    if kind == 1:
        for place in random.choice(allowed, int(random.integers(1, 9))):
            content[place] ^= 1 << int(random.integers(8))
    elif kind == 2:
        content[place] = int(random.integers(256))
    elif kind in (3, 4):  # zeros; a block from elsewhere
        there = allowed[(allowed >= place) & (allowed < place + random.integers(1, 2000))]
        start = int(random.integers(size - len(there)))
        for index, position in enumerate(there):
            content[position] = 0 if kind == 3 else content[start + index]
    elif kind == 5:
        content[place:place] = random.bytes(int(random.integers(1, 100)))
    elif kind == 6:
        content += random.bytes(int(random.integers(1, 5000)))
    else:
        content = content[: int(random.integers(size))] + content[int(random.integers(size)) :]
    return bytes(content)


def _unzipped(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(parts, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        warnings.filterwarnings("ignore", "Duplicate name")
        for name, content in parts.items() if isinstance(parts, dict) else parts:
            archive.writestr(name, content)
    return stream.getvalue()


def _case(name, content, **others):
    return {"name": name, "content": content, "model": "classifier", "all": True, **others}


def _any_keras(made, random):
    model = str(random.choice(["classifier", "backbone"]))
    return model, made["keras"][model]


def keras_bytes(made, random):
    model, content = _any_keras(made, random)
    return _case("a.keras", _bytes(content, random), model=model)


def keras_part_bytes(made, random):
    """Damage within a part, under checksums that fit."""
    model, content = _any_keras(made, random)
    parts = _unzipped(content)
    name = str(random.choice(["config.json", "metadata.json", "model.weights.h5"]))
    free = _free(parts[name], _extents(parts[name])) if name.endswith(".h5") else None
    return _case("a.keras", _zipped({**parts, name: _bytes(parts[name], random, free)}), model=model, all=False)


def keras_members(made, random):
    kind = int(random.integers(6))
    if kind == 0:
        return _case("a.keras", made["bombs"][random.integers(len(made["bombs"]))])
    parts = _unzipped(made["keras"]["classifier"])
    name = str(random.choice([*parts]))
    if kind == 1:
        del parts[name]
    elif kind == 2:
        parts[str(random.choice(["../x", "/tmp/x", "assets/../../x", "C:\\x", "a\\..\\..\\x"]))] = b"x"
    elif kind == 3:
        return _case("a.keras", _zipped([*parts.items(), (name, parts[str(random.choice([*parts]))])]))
    elif kind == 4:
        parts[name] = random.bytes(100) if random.integers(2) else b""
    else:
        parts[name + str(random.choice(["x", "/", ".npz"]))] = parts.pop(name)
    return _case("a.keras", _zipped(parts))


def _places(config, kind=object):
    """Returns `(container, key)` of all values in a configuration that are of a kind."""
    found, left = [], [config]
    while left:
        part = left.pop()
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            if isinstance(part[key], kind):
                found.append((part, key))
            if isinstance(part[key], dict | list):
                left.append(part[key])
    return found


def _function(module, name):
    return {"class_name": "function", "module": module, "config": name, "registered_name": name}


LAMBDA = {"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None, "closure": None}}
NESTED = json.loads("[" * 500 + "]" * 500)
VALUES = [
    None,
    True,
    -1,
    0,
    1,
    7,
    2**20,
    10**9,
    10**18,
    10**400,
    -(10**9),
    0.5,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
]
VALUES += [
    "",
    "x",
    "x" * 10**5,
    "\0",
    "../../x",
    [],
    [[]],
    [None],
    [10**9] * 4,
    [10**5] * 4,
    {},
    {"a": {}},
    NESTED,
    LAMBDA,
]
VALUES += [_function("os", "system"), {"class_name": "Dense", "module": "keras.layers", "config": {"units": 10**9}}]
HARMFUL = [
    ("keras_mambaout.__main__", "main"),
    ("keras_mambaout.cli", "main"),
    ("keras_mambaout.commands.push", "push"),
    ("keras_mambaout.compare.worker", "main"),
    (CANARY, "Layer"),
    ("os", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("torch.hub", "load"),
    ("antigravity", "geohash"),
    ("keras.utils", "get_file"),
    ("keras.config", "enable_unsafe_deserialization"),
    ("keras.applications", "ResNet50"),
    ("keras.models", "load_model"),
    ("keras.saving", "load_model"),
    ("keras.layers", "TFSMLayer"),
    ("keras.layers", "Lambda"),
    ("keras.layers", "TorchModuleWrapper"),
    ("keras.src.utils.torch_utils", "TorchModuleWrapper"),
    ("keras.src.saving.saving_lib", "load_model"),
    ("keras_cv.models.stable_diffusion.text_encoder", "TextEncoder"),
    ("tensorflow.python.framework.tensor_spec", "TensorSpec"),
]


def _with_config(made, random, change):
    model, content = _any_keras(made, random)
    parts = _unzipped(content)
    config = json.loads(parts["config.json"])
    change(config)
    return _case("a.keras", _zipped({**parts, "config.json": json.dumps(config)}), model=model, all=False)


def keras_values(made, random):
    """One value in the configuration is another, is missing, or is somewhere else."""

    def change(config):
        place, key = (found := _places(config))[random.integers(len(found))]
        kind = int(random.integers(8))
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, dict):
            place[str(key) + "x"] = place.pop(key)
        elif kind == 2:
            other, other_key = found[random.integers(len(found))]
            place[key] = json.loads(json.dumps(other[other_key]))
        else:
            place[key] = VALUES[random.integers(len(VALUES))]

    return _with_config(made, random, change)


def keras_modules(made, random):
    """A class is one that would run code, or of a module that would."""

    def change(config):
        module, name = HARMFUL[random.integers(len(HARMFUL))]
        inner = random.integers(3)
        harm = {"module": module, "class_name": name, "config": {}, "registered_name": (None, name, f"x>{name}")[inner]}
        if name == "TFSMLayer":
            harm["config"] = {"filepath": os.path.join(made["folder"], CANARY)}
        elif name == "Lambda":
            function = LAMBDA if inner else _function(*HARMFUL[random.integers(len(HARMFUL))])
            harm["config"] = {"function": function, "arguments": {"origin": "http://127.0.0.1:9/x"}}
        elif name == "TensorSpec":
            harm |= {"class_name": "__typespec__", "spec_name": name, "config": []}
        if random.integers(3) == 0:
            harm = _function(module, name)
        kind = int(random.integers(3))
        places = [(place, key) for place, key in _places(config, dict) if "class_name" in place[key]]
        if kind == 0 or not places:
            config |= harm if random.integers(2) else {"module": module, "registered_name": None}
        elif kind == 1:
            place, key = places[random.integers(len(places))]
            place[key] = harm
        else:
            place, key = (found := _places(config))[random.integers(len(found))]
            place[key] = harm

    return _with_config(made, random, change)


def keras_paths(made, random):
    """The configuration names weights, or another file to open."""
    canary = os.path.join(made["folder"], CANARY, "model.safetensors")
    values = [canary, "imagenet", "hf://them/model", canary.encode().decode("latin1"), f"file://{canary}"]
    values += ["https://127.0.0.1:9/x.weights.h5", {"class_name": "__bytes__", "config": {"value": canary}}]

    def change(config):
        value = values[random.integers(len(values))]
        dicts = [config["config"], *(place[key] for place, key in _places(config["config"], dict))]
        named = [part for part in dicts if "weights" in part]
        kind = int(random.integers(3))
        if kind == 0:
            config["config"] = {
                "module": "keras.layers",
                "class_name": "StringLookup",
                "config": {"vocabulary": value},
                "registered_name": None,
            }
        elif kind == 1 or not named:
            name = str(random.choice(["weights", "vocabulary", "merges", "proto", "preset"]))
            dicts[random.integers(len(dicts))][name] = value
        else:
            named[random.integers(len(named))]["weights"] = value

    return _with_config(made, random, change)


def _changed_h5(content, random, kind, integers=()):
    """Returns an HDF5 file of the same kind with one array that is not as it was."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = str(random.choice(names))
        values = file[name][()]
        if kind == "nan":
            values.reshape(-1)[random.integers(values.size)] = random.choice([np.nan, np.inf, -np.inf])
            file[name][...] = values
            return _closed(stream, file)
        kind = int(random.integers(11))
        if kind == 10:
            file[name + "0"] = values
            return _closed(stream, file)
        del file[name]
        if kind == 0:
            file[name + "x"] = values
        elif kind == 1:
            file[name] = values.reshape(-1) if values.ndim > 1 else values.reshape(1, -1)
        elif kind == 2:
            file[name] = np.concatenate([values, values])
        elif kind == 3:
            dtype = str(random.choice([">f4", "S4", "c8", *integers]))
            file[name] = values.astype(dtype) if dtype != "S4" else values.astype("f4").view("S4")
        elif kind == 4:
            file.create_dataset(name, shape=values.shape, dtype="f4", external=[(CANARY, 0, h5py.h5f.UNLIMITED)])
        elif kind == 5:
            file[name] = h5py.SoftLink("/x") if random.integers(2) else h5py.ExternalLink(CANARY, "/x")
        elif kind == 6:
            file.create_dataset(name, shape=(HUGE,), dtype="f4")
        elif kind == 7:
            file.create_dataset(name, shape=(HUGE,), dtype="f4", chunks=(2**16,), compression="gzip")
        elif kind == 8:
            layout = h5py.VirtualLayout(shape=values.shape, dtype="f4")
            layout[...] = h5py.VirtualSource(CANARY, "x", shape=values.shape)
            file.create_virtual_dataset(name, layout)
        else:
            file[name] = file[name.rpartition("/")[0]]  # a group that holds itself
    return stream.getvalue()


def _closed(stream, file):
    file.close()
    return stream.getvalue()


def keras_arrays(made, random):
    model, content = _any_keras(made, random)
    parts = _unzipped(content)
    weights = _changed_h5(parts["model.weights.h5"], random, "arrays")
    return _case("a.keras", _zipped({**parts, "model.weights.h5": weights}), model=model)


def keras_nan(made, random):
    model, content = _any_keras(made, random)
    parts = _unzipped(content)
    weights = _changed_h5(parts["model.weights.h5"], random, "nan")
    return _case("a.keras", _zipped({**parts, "model.weights.h5": weights}), model=model, nan=True)


def h5_bytes(made, random):
    return _case("a.weights.h5", _bytes(made["h5"], random, _free(made["h5"], made["extents"])))


def _free(content, extents):
    free = np.ones(len(content), bool)
    for start, end in extents:
        free[start:end] = False
    return np.flatnonzero(free)


def h5_arrays(made, random):
    return _case("a.weights.h5", _changed_h5(made["h5"], random, "arrays", ("i4", "u1")))


def h5_nan(made, random):
    return _case("a.weights.h5", _changed_h5(made["h5"], random, "nan"), nan=True)


def ours_bytes(made, random):
    return _case("a.safetensors", _bytes(made["ours"], random))


def foreign_bytes(made, random):
    header = 8 + int.from_bytes(made["foreign"][:8], "little")
    return _case("a.safetensors", _bytes(made["foreign"], random, np.arange(header)))


def _changed_tensors(tensors, random):
    """Returns tensors of which one is missing, new, of another name, shape, type or size."""
    tensors = dict(tensors)
    name = str(random.choice([*tensors]))
    value = tensors[name]
    kind = int(random.integers(7))
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[name + "x"] = value
    elif kind == 2:
        tensors["downsample_layers.0.conv1.weight" if random.integers(2) else "x"] = tensors.pop(name)
    elif kind == 3:
        tensors[name] = value.T.copy() if value.ndim > 1 and value.shape != value.T.shape else value[:-1]
    elif kind == 4:
        tensors[name] = value.astype(str(random.choice(["int32", "uint8", "bool"])))
    elif kind == 5:
        tensors[name] = np.concatenate([value, value])
    else:
        tensors = {name: value for name, value in tensors.items() if not name.startswith("head.")}
    return tensors


def _nan_tensors(tensors, random):
    name = str(random.choice([*tensors]))
    values = tensors[name].copy()
    values.reshape(-1)[random.integers(values.size)] = random.choice([np.nan, np.inf, -np.inf])
    return {**tensors, name: values}


def safetensors_tensors(made, random):
    return _case("a.safetensors", safetensors.numpy.save(_changed_tensors(made["tensors"], random)), part=True)


def safetensors_header(made, random):
    """A header that says what is not so."""
    size = int.from_bytes(made["foreign"][:8], "little")
    header = json.loads(made["foreign"][8 : 8 + size])
    place, key = (found := _places(header))[random.integers(len(found))]
    place[key] = VALUES[random.integers(len(VALUES))]
    text = json.dumps(header).encode()
    data = made["foreign"][8 + size :]
    return _case("a.safetensors", len(text).to_bytes(8, "little") + text + data)


def safetensors_nan(made, random):
    return _case("a.safetensors", safetensors.numpy.save(_nan_tensors(made["tensors"], random)), nan=True)


def pth_bytes(made, random):
    return _case("a.pth", _bytes(made["pth"], random))


def _pth(value, old=False):
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=not old)
    return stream.getvalue()


class Harm:
    """What runs code when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def pth_code(made, random):
    canary = os.path.join(made["folder"], CANARY, "ran")
    harms = [
        Harm(os.mkdir, canary),
        Harm(os.system, f"touch {canary}"),
        Harm(eval, f"open({canary!r}, 'w')"),
        Harm(exec, f"import {CANARY}"),
        Harm(open, canary, "w"),
        Harm(torch.load, canary),
    ]
    harm = harms[random.integers(len(harms))]
    tensors = {name: torch.from_numpy(array) for name, array in made["tensors"].items()}
    value = ({**tensors, "x": harm}, harm, [harm], {"model": harm})[random.integers(4)]
    kind = int(random.integers(3))
    return _case("a.pth", pickle.dumps(value, 2) if kind == 2 else _pth(value, old=kind == 1))


def pth_tensors(made, random):
    if random.integers(3):
        arrays = _changed_tensors(made["tensors"], random)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return _case("a.pth", _pth(tensors, old=bool(random.integers(2))), part=True)
    tensors = {name: torch.from_numpy(array) for name, array in made["tensors"].items()}
    name = str(random.choice([*tensors]))
    values = [torch.zeros(1, dtype=torch.float16).expand(HUGE), torch.zeros(2, 2).to_sparse(), 7, "x", None, [], {}]
    values += [torch.zeros(3, dtype=torch.complex64), torch.zeros(1, device="meta"), torch.zeros(0)]
    value = values[random.integers(len(values))]
    wrong = [
        {**tensors, name: value},
        {**tensors, 7: tensors[name]},
        value,
        [tensors],
        {"model": value},
        {**tensors, "model": value},
    ]
    return _case("a.pth", _pth(wrong[random.integers(len(wrong))]))


def pth_nan(made, random):
    tensors = {name: torch.from_numpy(array) for name, array in _nan_tensors(made["tensors"], random).items()}
    return _case("a.pth", _pth(tensors), nan=True)


def folder_config(made, random):
    config = json.loads(made["hub"]["config.json"])
    place, key = (found := _places(config))[random.integers(len(found))]
    if random.integers(6) == 0:
        del place[key]
    else:
        place[key] = VALUES[random.integers(len(VALUES))]
    content = {**made["hub"], "config.json": json.dumps(config).encode()}
    return _case("hub", content, model="hub", cached=not random.integers(4))


def folder_bytes(made, random):
    name = str(random.choice([*made["hub"]]))
    content = {**made["hub"], name: _bytes(made["hub"][name], random)}
    if random.integers(8) == 0:
        del content[name]
    return _case("hub", content, model="hub", cached=not random.integers(4))


def another_kind(made, random):
    """An empty file, a folder, or a file of another format under this name."""
    name = str(random.choice(["a.keras", "a.safetensors", "a.weights.h5", "a.pth"]))
    contents = [b"", b"\0", b"PK\5\6" + bytes(18), b"{}", b"x" * 5000, {}, {"x": b"x"}]
    own = {"a.keras": "keras", "a.safetensors": "ours", "a.weights.h5": "h5", "a.pth": "pth"}
    others = {**made, "keras": made["keras"]["classifier"]}
    contents += [others[key] for other, key in own.items() if other != name]
    return _case(name, contents[random.integers(len(contents))])


WRONG = {
    ".keras, bytes": (13, keras_bytes),
    ".keras, bytes under fresh checksums": (2.5, keras_part_bytes),
    ".keras, parts missing, double, elsewhere, bombs": (8, keras_members),
    ".keras, values of the configuration": (2.5, keras_values),
    ".keras, modules and classes that run code": (9, keras_modules),
    ".keras, files that it names": (7, keras_paths),
    ".keras, arrays": (2.5, keras_arrays),
    ".keras, NaN": (0.4, keras_nan),
    ".weights.h5, bytes": (3, h5_bytes),
    ".weights.h5, arrays": (2.5, h5_arrays),
    ".weights.h5, NaN": (0.4, h5_nan),
    ".safetensors of this package, bytes": (16, ours_bytes),
    ".safetensors of others, header and length": (8, foreign_bytes),
    ".safetensors, header": (8, safetensors_header),
    ".safetensors, tensors": (8, safetensors_tensors),
    ".safetensors, NaN": (2, safetensors_nan),
    ".pth, bytes": (12, pth_bytes),
    ".pth, code": (10, pth_code),
    ".pth, tensors": (8, pth_tensors),
    ".pth, NaN": (1.5, pth_nan),
    "folder of the hub, config.json": (2.5, folder_config),
    "folder of the hub, bytes": (3, folder_bytes),
    "another file or a folder under this name": (6, another_kind),
}


# === Trying one ===


def attempt(made, case):
    folder = os.path.join(made["folder"], "case")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    made["seen"].clear()
    made["log"].clear()
    path, before = os.path.join(folder, case["name"]), set(sys.modules)
    if case.get("cached"):
        path = _into_cache(made, case["content"])
    elif isinstance(case["content"], dict):
        os.makedirs(path)
        for name, content in case["content"].items():
            _write(os.path.join(path, name), content)
    else:
        _write(path, case["content"])
    load = _load_model if case["name"] in ("a.keras", "hub") else _load_weights
    outcome = load(made, case, path)
    new = {name for name in set(sys.modules) - before if name.split(".")[0] not in sys.stdlib_module_names}
    new = {name for name in new if not name.startswith(("keras.", "torch.", "numpy."))}
    if new or made["seen"] or os.path.exists(os.path.join(made["folder"], CANARY, "ran")):
        raise AssertionError(f"the file caused {made['seen']}, imported {sorted(new)}")
    return outcome


def _write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def _into_cache(made, files):
    """Puts files where the hub's library keeps what it downloaded, and returns their address."""
    cache = os.path.join(made["folder"], "cache", "models--them--model")
    shutil.rmtree(cache, ignore_errors=True)
    commit = "0" * 40
    for folder in ("refs", f"snapshots/{commit}", f".no_exist/{commit}"):
        os.makedirs(os.path.join(cache, folder))
    _write(os.path.join(cache, "refs", "main"), commit.encode())
    for name in ("model.keras", "config.json", "model.safetensors"):
        place = os.path.join(cache, "snapshots", commit) if name in files else os.path.join(cache, ".no_exist", commit)
        _write(os.path.join(place, name), files.get(name, b""))
    return "hf://them/model"


def _load_model(made, case, path):
    try:
        model = keras_mambaout.load_model(path)
    except ValueError as error:
        return _refused(path, error)
    except keras_mambaout.weights.DownloadError as error:
        if case.get("cached") and "them/model" in str(error):
            return "refused"
        raise
    return _judged(made, case, path, [variable.numpy() for variable in model.weights])


def _load_weights(made, case, path):
    target = made["target"]
    try:
        fresh = keras_mambaout.load_weights(target, path)
    except ValueError as error:
        same = _same([variable.numpy() for variable in target.weights], made["fresh"])
        return _refused(path, error) if same else "changed"
    finally:
        values = [variable.numpy() for variable in target.weights]
        if not _same(values, made["fresh"]):
            for variable, value in zip(target.weights, made["fresh"], strict=True):
                variable.assign(value)
    return _judged(made, case, path, values, fresh)


def _refused(path, error):
    """An error must name the file, or the address or folder that it is in, and be no longer than one can read."""
    text = str(error)
    names = path in text or (path.startswith("hf://") and "models--them--model" in text)
    if not names or len(text) > 3000:
        raise AssertionError(f"the error does not name {path}, or has {len(text)} letters") from error
    return "refused"


def _judged(made, case, path, values, fresh=()):
    """Compares what was loaded with the undamaged file."""
    expected = made["weights"][case["model"]]
    warned = [text for text in made["log"] if path in text]
    if case.get("nan"):
        wrong = [not np.array_equal(value, right) for value, right in zip(values, expected, strict=True)]
        broken = [not np.isfinite(value).all() for value in values]
        return "warned" if wrong == broken and sum(wrong) == 1 and any("NaN" in text for text in warned) else "silent"
    if fresh:
        known = [*expected, *made["fresh"]]
        right = all(any(_same([value], [other]) for other in known) for value in values)
        return "warned" if right and any("not loaded" in text for text in warned) else "silent"
    if not case["all"]:  # another network of the same weights, which is what its configuration says
        return "right" if all(any(_same([value], [other]) for other in expected) for value in values) else "silent"
    return "right" if _same(values, expected) else "silent"


def _same(values, expected):
    return len(values) == len(expected) and all(
        value.shape == other.shape and np.array_equal(value, other)
        for value, other in zip(values, expected, strict=True)
    )
