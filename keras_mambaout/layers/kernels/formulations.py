"""Which formulation computes the depthwise convolutions: the user's choice, or the fastest one for the device."""

FORMULATIONS = ("auto", "native", "shifted")
SHIFTED_ON = {"jax": ("cpu",)}  # backend -> platforms where "auto" means "shifted"
_chosen = "auto"


def set_depthwise_conv(formulation: str) -> None:
    """Chooses how the depthwise convolutions are computed; the numbers are the same up to rounding.

    Args:
        formulation: `"native"`: the framework's own convolution. `"shifted"`: a sum of the image
            shifted under each tap of the kernel, with its own gradient; JAX only, where XLA's own
            convolution is some 20 times slower on a CPU. `"auto"` (initially): `"shifted"` with JAX
            on a CPU, `"native"` on GPU, TPU and the other backends.

    The choice is read when a model is traced, so make it before the first call, `fit` or `predict`.

    Raises:
        ValueError: If the formulation is unknown. If the backend does not have `"shifted"`, the
            model raises it when it is called.

    Example:
    ```python
    keras_mambaout.layers.kernels.set_depthwise_conv("native")
    ```
    """
    global _chosen
    if formulation not in FORMULATIONS:
        raise ValueError(f"`formulation` must be one of {', '.join(FORMULATIONS)}, got {formulation!r}.")
    _chosen = formulation


def get_depthwise_conv() -> str:
    """Returns what `set_depthwise_conv` was given last, `"auto"` initially."""
    return _chosen


def choose_depthwise_conv(backend: str, platform: str | None = None) -> str:
    """Returns the formulation, `"native"` or `"shifted"`, that is used on a backend and platform.

    Args:
        backend: `"tensorflow"`, `"jax"` or `"torch"`.
        platform: `"cpu"`, `"gpu"` or `"tpu"`.

    Raises:
        ValueError: If `"shifted"` was set and the backend does not have it.
    """
    if _chosen == "auto":
        return "shifted" if platform in SHIFTED_ON.get(backend, ()) else "native"
    if _chosen == "shifted" and backend not in SHIFTED_ON:
        raise ValueError(
            f'The "shifted" depthwise convolution exists on JAX only, and the backend is {backend}. '
            'Call keras_mambaout.layers.kernels.set_depthwise_conv("auto").'
        )
    return _chosen
