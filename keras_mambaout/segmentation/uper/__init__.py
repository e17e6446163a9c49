"""UperNet, the paper's system for ADE20K: one part per file, put together in `model.py`."""

__all__: list[str] = []
