"""Writes README's table of models from the package's own tables: python tests/helpers/readme_table.py"""

import pathlib

from keras_mambaout.config import VARIANTS
from keras_mambaout.weights.pretrained import PUBLISHED

README = pathlib.Path(__file__).parents[2] / "README.md"
START, END = "<!-- models -->\n", "<!-- /models -->\n"


def function_name(variant):
    return "".join({"mambaout": "MambaOut", "rw": "RW"}.get(word, word.title()) for word in variant.split("_"))


def rows():
    yield "| function | name | depths | channels | parameters | weights | size | top-1 % | top-5 % |\n"
    yield "|---|---|---|---|---|---|---|---|---|\n"
    for entry in PUBLISHED.values():
        config = VARIANTS[entry.variant]
        depths, dims = (", ".join(map(str, numbers)) for numbers in (config.depths, config.dims))
        classes = f" ({entry.classes} classes)" if entry.classes != 1000 else ""
        accuracy = [f"{value:.2f}" if value else "" for value in (entry.top1, entry.top5)]
        yield (
            f"| `{function_name(entry.variant)}` | `{entry.variant}` | {depths} | {dims} | "
            f"{config.count_parameters(entry.classes) / 1e6:.1f} M | `{entry.tag}`{classes} | {entry.image_size} | "
            f"{accuracy[0]} | {accuracy[1]} |\n"
        )


def with_table(text):
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return before + START + "\n" + "".join(rows()) + "\n" + END + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
