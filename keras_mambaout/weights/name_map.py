"""From the names of the published tensors to our variables, with the change of layout.

| theirs (timm) | ours | layout |
|---|---|---|
| `stem.conv1.weight` | `stem/conv1/kernel` | OIHW -> HWIO |
| `stages.S.downsample.conv.weight` | `stages_S_downsample/conv/kernel` | OIHW -> HWIO |
| `stages.S.blocks.B.conv.weight` | `stages_S_blocks_B/conv/kernel` | (C, 1, k, k) -> (k, k, C, 1) |
| `stages.S.blocks.B.fc1.weight` | `stages_S_blocks_B/fc1/kernel` | (out, in) -> (in, out) |
| `stages.S.blocks.B.norm.weight` | `stages_S_blocks_B/norm/gamma` | |
| `stages.S.blocks.B.ls.gamma` | `stages_S_blocks_B/ls/gamma` | |
| `head.pre_logits.fc.weight` | `head/pre_logits/kernel` | (out, in) -> (in, out) |
| `head.pre_logits.norm.weight` | `head/pre_logits_norm/gamma` | |

State space models, which timm does not have, are named in the same way, in our layout: `stages.S.blocks.B.ssm.K.A_log`.
"""

import re
from typing import Any

# Axes of a published kernel in the order of ours; the key is the part of our path that names the layer.
_CONV = (2, 3, 1, 0)
_DEPTHWISE = (2, 3, 0, 1)
_DENSE = (1, 0)
_KERNEL_AXES = (
    (re.compile(r"stem/conv[12]|stages_\d_downsample/conv"), _CONV),
    (re.compile(r"stages_\d_blocks_\d+/conv"), _DEPTHWISE),
    (re.compile(r"stages_\d_blocks_\d+/fc[12]|head/pre_logits|head/fc"), _DENSE),
)
_HEAD_NAMES = {"pre_logits": "pre_logits.fc", "pre_logits_norm": "pre_logits.norm"}

FIRST_KERNEL = "stem.conv1.weight"
LAST_LAYER = ("head.fc.weight", "head.fc.bias")
HEAD_PREFIX = "head."
OUTPUT_NORMS_PREFIX = "output_norms."
TOKEN_MIXER = re.compile(r"stages\.\d\.blocks\.\d+\.(conv|ssm)\..*")


def published_name(path: str) -> tuple[str, tuple[int, ...] | None]:
    """Returns the published name of a variable, and the axes that bring its value into our layout.

    Args:
        path: `variable.path` of a weight of a `MambaOutBackbone` or `MambaOutClassifier`, such as
            `"stages_0_blocks_1/fc1/kernel"`.

    Returns:
        `("stages.0.blocks.1.fc1.weight", (1, 0))`; the axes, for `numpy.transpose`, are `None`
        where the layout is the same.
    """
    layer, _, parameter = path.rpartition("/")
    top, _, inner = layer.partition("/")
    module = re.sub(r"^stages_(\d)_(blocks_)?", lambda m: f"stages.{m[1]}.{m[2] or ''}", top)
    module = re.sub(r"(blocks|output_norms)_(\d+)", r"\1.\2", module)
    if top == "head":
        inner = _HEAD_NAMES.get(inner, inner)
    inner = inner.replace("/", ".")
    module = f"{module}.{inner}" if inner else module
    if parameter == "kernel":
        return f"{module}.weight", next(axes for pattern, axes in _KERNEL_AXES if pattern.fullmatch(layer))
    if parameter == "gamma" and inner != "ls":
        return f"{module}.weight", None
    return f"{module}.{'bias' if parameter == 'beta' else parameter}", None


def from_authors_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """Renames the tensors of the authors' own files (`downsample_layers.0...`) as timm names them.

    Raises:
        ValueError: If a tensor is there under both names.
    """
    if not any(name.startswith("downsample_layers.") for name in tensors):
        return tensors
    renamed = {_from_authors_name(name): tensor for name, tensor in tensors.items()}
    if len(renamed) < len(tensors):
        raise ValueError("it has tensors under the authors' names and under timm's")
    return renamed


def _from_authors_name(name):
    for pattern, replacement in (
        (r"^downsample_layers\.0\.", "stem."),
        (r"^downsample_layers\.(\d)\.", r"stages.\1.downsample."),
        (r"^stages\.(\d)\.(\d+)\.", r"stages.\1.blocks.\2."),
        (r"^head\.norm\.", "head.pre_logits.norm."),
        (r"^head\.fc1\.", "head.pre_logits.fc."),
        (r"^head\.fc2\.", "head.fc."),
        (r"^norm\.", "head.norm."),
    ):
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return name
