"""Mask R-CNN, the paper's system for COCO: one part per file, put together in `model.py`."""

__all__: list[str] = []
