"""What the workers of timm and torchvision share; their interpreter has PyTorch, but neither Keras nor this package."""

import os
import resource

import torch

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")


def device_name():
    return torch.cuda.get_device_name() if CUDA else f"CPU, {os.cpu_count()} cores"


def synchronize():
    """Waits until the GPU has finished."""
    if CUDA:
        torch.cuda.synchronize()


def peak_memory():
    """Returns bytes: on a GPU those of tensors, on a CPU those of the whole process."""
    if CUDA:
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
