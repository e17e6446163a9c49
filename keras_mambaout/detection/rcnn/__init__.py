"""Mask R-CNN, the paper's system for COCO: one part a file, put together in `model.py`."""
