"""Turn texts that describe families of neural networks into counts, pictures, searches, networks.

A name is loaded when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "config": ["Config", "load_config"],
    "errors": ["EpnasError"],
    "experiment": ["load_model", "resume", "run", "train"],
    "lang.loading": ["load_architecture", "load_space", "read_space"],
    "lang.notations": ["from_notation", "to_notation"],
    "nn.network": ["build_network"],
    "nn.supernet": ["Supernet"],
    "space.architecture": ["Architecture"],
    "space.counting": ["count_raw", "count_unique", "count_unordered"],
    "space.difference": ["difference"],
    "space.drawing": ["draw_cell", "draw_network", "draw_space", "render"],
    "space.expansion": ["sample"],
    "space.graph": ["to_graph", "to_layers", "to_network"],
    "space.neighbours": ["neighbours"],
    "space.recognition": ["from_graph"],
    "space.search_space": ["SearchSpace"],
    "space.shapes": ["costs"],
    "space.tokens": ["from_tokens", "to_tokens"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
