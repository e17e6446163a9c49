"""UperNet, the paper's system for ADE20K: one part a file, put together in `model.py`."""
