"""How a process asks the system for memory. Standard library only."""

import ctypes

# glibc's parameters of malloc: keep what is freed, take no memory but the heap's, have one heap for all threads
_MALLOC_PARAMETERS = {"M_TRIM_THRESHOLD": (-1, -1), "M_MMAP_MAX": (-4, 0), "M_ARENA_MAX": (-8, 1)}


def keep_memory() -> bool:
    """Has this process keep the memory that it frees, which makes training on a CPU faster.

    Large arrays are otherwise given back to the system as soon as they are freed, and the next one gets new pages,
    which the system fills with zeros at first touch: on some machines a part of a train step that counts. Call it
    before the first model is made. The process then never gives memory back, and may need much more of it: a train step
    of Mask R-CNN at 800 x 1280 pixels took 11.7 GB on JAX instead of 7.2. Nothing calls it by itself.

    Larger pages make training faster on some machines and slower on others. The system must be asked for them before
    the process starts: `GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python train.py`.

    Returns:
        Whether the C library is glibc (Linux), which alone can be told so; with others nothing happens.

    Example:
    ```python
    keras_mambaout.config.keep_memory()
    model = keras_mambaout.MambaOutTiny(weights="imagenet")
    ```

    Source: `mallopt` of [glibc](https://man7.org/linux/man-pages/man3/mallopt.3.html)
    """
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018, the name of a function that only glibc has
        return all(library.mallopt(*parameter) for parameter in _MALLOC_PARAMETERS.values())
    except (OSError, TypeError, AttributeError):  # Windows, macOS, musl
        return False
