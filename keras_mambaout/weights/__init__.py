"""Published weights: which there are, fetching them, and filling a model with them."""
