"""What a classifier's output means."""

import keras


def gives_logits(model):
    """Returns whether a model returns logits, not probabilities; `None` if its last layer does not tell."""
    last = model
    while isinstance(last, keras.Model):
        last = last.layers[-1] if getattr(last, "outputs", None) else None
    if isinstance(last, keras.layers.Softmax):
        return False
    activation = getattr(last, "activation", None)
    return {keras.activations.linear: True, keras.activations.softmax: False}.get(activation)
