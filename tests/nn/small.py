"""Every space of the literature, as small as its parameters allow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from epnas_dsl.lang.loading import load_space
from epnas_dsl.resources import names
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.search_space import SearchSpace

SPACES = sorted(names("spaces"))
SMALL = {"channels": 4, "growth": 4, "classes": 10}
SHALLOW = {"darts": 8, "densenet_cifar": 22, "resnet_cifar": 20}  # layers


def small_space(name: str) -> SearchSpace:
    """The space with few channels and layers."""
    parameters = load_space(name).parameters
    given = {n: v for n, v in SMALL.items() if n in parameters}
    if name in SHALLOW:
        given["layers"] = SHALLOW[name]
    return load_space(name, **given)


def some(name: str, n: int, seed: int = 2) -> list[Architecture]:
    """A few architectures of a small space, uniform over all of them."""
    return sample(small_space(name), n, np.random.default_rng(seed))


def some_of_every(n: int, seed: int) -> Iterator[Architecture]:
    """A few architectures of every small space."""
    for name in SPACES:
        yield from some(name, n, seed)
