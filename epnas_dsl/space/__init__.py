"""Meaning without tensors: spaces, architectures, graphs, counts, tokens, drawings."""
