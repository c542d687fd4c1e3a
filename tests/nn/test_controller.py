"""The controller writes what is possible, knows how likely it is, and learns what pays."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from strategies import CHAIN

from epnas_dsl.config import ControllerSettings
from epnas_dsl.lang import load_space, read_space
from epnas_dsl.nn.controller import LstmController
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import enumerate_level, sample
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.tokens import from_tokens, possible, to_tokens

# Nested choices, subsets of a fixed size, subsets that are not empty, levels of different width.
SPACES = ["micro(blocks=3)", "macro(layers=4)", "darts", "ofa", "nasbench101", "nasbench201"]


def space_of(name: str) -> SearchSpace:
    head, _, rest = name.partition("(")
    key, _, value = rest.rstrip(")").partition("=")
    return load_space(head, **({key: int(value)} if key else {}))


@pytest.mark.parametrize("name", SPACES)
def test_what_is_written_is_an_architecture(name: str) -> None:
    space = space_of(name)
    controller = LstmController(space, ControllerSettings(hidden=8), 0)
    written = [controller.write() for _ in range(8)]
    found = [from_tokens(space, tokens) for tokens in written]
    assert {a.level for a in found} == {space.depth}
    assert len({a.choices for a in found}) > 4


@pytest.mark.parametrize("name", SPACES)
def test_every_architecture_can_be_written(name: str) -> None:
    space = space_of(name)
    for architecture in sample(space, 5, np.random.default_rng(1)):
        for level, row in enumerate(to_tokens(architecture).tolist(), 1):
            assert all(row[i] in possible(space, level, row[:i]) for i in range(len(row)))


def test_an_empty_subset_is_not_written_where_one_is_required() -> None:
    text = CHAIN.replace("op(h[i-1])", "sum(op(s) for s in some of [prev, h[i-1]])")
    space = read_space(text)
    begun = [0]
    assert possible(space, 1, []) == (0, 1)
    assert possible(space, 1, begun) == (1,)


def test_the_likelihoods_of_all_sum_to_one() -> None:
    space = read_space(CHAIN)
    controller = LstmController(space, ControllerSettings(hidden=8, initial=2.0), 3)
    whole = [to_tokens(a) for a in enumerate_level(space, 3)]
    chances = [controller.likelihood(tokens)[0].exp().item() for tokens in whole]
    assert sum(chances) == pytest.approx(1, abs=1e-5)
    entropy = np.mean([controller.likelihood(controller.write())[1].item() for _ in range(300)])
    assert entropy == pytest.approx(-sum(p * np.log(p) for p in chances), rel=0.1)
    counts = Counter(controller.write().tobytes() for _ in range(2000))
    for tokens, chance in zip(whole, chances, strict=True):
        spread = (2000 * chance * (1 - chance)) ** 0.5
        assert abs(counts[tokens.tobytes()] - 2000 * chance) < 4.5 * spread + 1


def test_the_step_is_the_policy_gradient() -> None:
    """Against the gradient of the expected reward over all architectures, taken exactly."""
    space = read_space(CHAIN)
    settings = ControllerSettings(hidden=4, initial=0.5, entropy=0)
    controller = LstmController(space, settings, 0)
    whole = list(enumerate_level(space, 3))
    tokens = [to_tokens(a) for a in whole]
    rewards = torch.tensor([a.choices[0] / 2 for a in whole])
    logs = torch.stack([controller.likelihood(t)[0] for t in tokens])
    weight = controller.network.choose.weight
    (exact,) = torch.autograd.grad((logs.exp() * rewards).sum(), weight)
    n, total = 1500, torch.zeros_like(weight)
    number = {t.tobytes(): i for i, t in enumerate(tokens)}
    drawn = Counter(number[controller.write().tobytes()] for _ in range(n))
    for i, count in drawn.items():
        (slope,) = torch.autograd.grad(controller.likelihood(tokens[i])[0], weight)
        total += count * (float(rewards[i]) - 0.5) * slope  # the baseline adds nothing on average
    cosine = torch.nn.functional.cosine_similarity(total.ravel(), exact.ravel(), dim=0)
    assert cosine > 0.95
    before = weight.detach().clone()
    controller.learn([tokens[0]], [1.0])
    (slope,) = torch.autograd.grad(controller.likelihood(tokens[0])[0], weight)
    assert ((weight - before) * slope).sum().item() > 0


@pytest.mark.parametrize("entropy", [0.0, 100.0])
def test_it_comes_to_write_what_is_rewarded_unless_entropy_counts_more(entropy: float) -> None:
    space = read_space(CHAIN)
    how = ControllerSettings(hidden=16, learning_rate=0.02, entropy=entropy, temperature=1, tanh=0)
    controller = LstmController(space, how, 1)

    def reward(architecture: Architecture) -> float:
        return float(architecture.choices == (2, 1, 0))

    for _ in range(120):
        written = [controller.write() for _ in range(8)]
        controller.learn(written, [reward(from_tokens(space, t)) - 0.1 for t in written])
    share = np.mean([reward(from_tokens(space, controller.write())) for _ in range(100)])
    assert share > 0.8 if not entropy else share < 0.2


def test_nan_begins_anew() -> None:
    controller = LstmController(read_space(CHAIN), ControllerSettings(hidden=4), 0)
    controller.learn([controller.write()], [float("nan")])
    assert all(bool(torch.isfinite(p).all()) for p in controller.network.parameters())
