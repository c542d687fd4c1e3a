"""Tensors: networks, shared weights, data, training."""
