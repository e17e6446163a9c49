"""What the commands of `keras-mambaout` do: one file per task, and one per command that has none.

`cli.py` makes the parser. A task is a module with `NAME`, `MODEL` and `TRAINING`, how messages call it, its models and
its training; `fits(model)`; `add_arguments(command, parser)`; and `predict`, `evaluate` and `train`.
"""

__all__ = []
