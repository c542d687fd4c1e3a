"""The surrogate: shortcuts equal the plain way, fits can be repeated, and it learns."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from epnas_dsl.config import SurrogateSettings
from epnas_dsl.nn.predictor import LstmPredictor, rank_loss

COLUMNS = (7, 6, 7, 6)
FAST = SurrogateSettings(features=16, hidden=16, epochs=5)
LEARNING = SurrogateSettings(features=32, hidden=32, learning_rate=3e-3, epochs=40)


def predictor(settings: SurrogateSettings = FAST, seed: int = 0) -> LstmPredictor:
    return LstmPredictor(COLUMNS, settings, seed)


def some_tokens(n: int, seed: int = 0, lengths: tuple[int, ...] = (1, 2, 3, 5)) -> list[np.ndarray]:
    """Token arrays of mixed lengths; one symbol in eight is missing."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        rows = random.integers(0, COLUMNS, (random.choice(lengths), len(COLUMNS)))
        found.append(np.where(random.random(rows.shape) < 1 / 8, -1, rows).astype(np.int16))
    return found


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e3, 1e6])
def test_expansions_are_predicted_as_whole_architectures_are(scale: float) -> None:
    ours = predictor()
    with torch.no_grad():
        for parameter in ours.network.lstm.parameters():
            parameter *= scale
    parents = [*some_tokens(9), np.empty((0, 4), np.int16)]
    rows = np.concatenate(some_tokens(50, seed=1, lengths=(1,)))
    quick = ours.predict_expansions(parents, rows)
    slow = ours.predict([np.vstack([parent, row]) for parent in parents for row in rows])
    assert quick.shape == (10, 50)
    assert quick.dtype == np.float32
    np.testing.assert_allclose(quick, slow.reshape(10, 50), atol=1e-5, rtol=0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_saturated_gates_are_numbers(sign: int) -> None:
    ours = predictor()
    with torch.no_grad():
        ours.network.lstm.bias_hh_l0.fill_(sign * 200.0)
    rows = np.concatenate(some_tokens(8, lengths=(1,)))
    parents = some_tokens(3)
    quick = ours.predict_expansions(parents, rows)
    slow = ours.predict([np.vstack([parent, row]) for parent in parents for row in rows])
    assert np.isfinite(quick).all()
    np.testing.assert_allclose(quick.ravel(), slow, atol=1e-5, rtol=0)


def test_lengths_may_be_mixed() -> None:
    ours, tokens = predictor(), some_tokens(40)
    together = ours.predict(tokens)
    apart = np.concatenate([ours.predict([rows]) for rows in tokens])
    np.testing.assert_allclose(together, apart, atol=1e-6)
    assert ((together >= 0) & (together <= 1)).all()
    assert ours.predict([]).shape == (0,)


def test_predictions_come_in_parts(monkeypatch) -> None:
    ours, tokens = predictor(), some_tokens(10)
    whole = ours.predict(tokens)
    monkeypatch.setattr("epnas_dsl.nn.predictor.BATCH", 3)
    np.testing.assert_allclose(ours.predict(tokens), whole, atol=1e-6)


def test_symbols_of_different_columns_differ() -> None:
    rows = np.array([[[0, -1, -1, -1]], [[-1, 0, -1, -1]], [[-1, -1, 0, -1]], [[-1, -1, -1, 0]]])
    scores = predictor().predict([*rows.astype(np.int16), np.full((1, 4), -1, np.int16)])
    assert len(np.unique(scores)) == 5


def test_fits_can_be_repeated() -> None:
    tokens, targets = some_tokens(30), np.linspace(0, 1, 30).tolist()
    one, two, other = predictor(), predictor(), predictor(seed=1)
    shuffled = np.random.default_rng(2).permutation(30)
    for _ in range(2):
        one.fit(tokens, targets)
        other.fit(tokens, targets)
        two.fit([tokens[i] for i in shuffled], [targets[i] for i in shuffled])
    assert np.array_equal(one.predict(tokens), two.predict(tokens))
    assert not np.array_equal(one.predict(tokens), other.predict(tokens))


def test_predicting_changes_nothing() -> None:
    tokens, targets = some_tokens(20), np.linspace(0, 1, 20).tolist()
    asked, left = predictor(), predictor()
    asked.predict(tokens)
    asked.predict_expansions(tokens[:3], np.concatenate(tokens[3:6]))
    for one in (asked, left):
        one.fit(tokens, targets)
    assert np.array_equal(asked.predict(tokens), left.predict(tokens))


def test_nothing_to_learn_changes_nothing() -> None:
    ours, tokens = predictor(), some_tokens(5)
    before = ours.predict(tokens)
    ours.fit([], [])
    assert np.array_equal(ours.predict(tokens), before)


def test_a_missing_symbol_stays_nothing() -> None:
    ours = predictor()
    ours.fit(some_tokens(20), [0.5] * 20)
    assert ours.network.table[0].eq(0).all()


@pytest.mark.parametrize("loss", ["l1", "mse", "rank"])
def test_it_learns_a_function_of_the_tokens(loss: str) -> None:
    def target(rows: np.ndarray) -> float:
        return float(0.2 + 0.6 * np.clip(rows[:, 0], 0, None).mean() / 6)

    ours, tokens = predictor(msgspec.structs.replace(LEARNING, loss=loss)), some_tokens(500)
    ours.fit(tokens[:400], [target(rows) for rows in tokens[:400]])
    wanted = np.array([target(rows) for rows in tokens[400:]])
    found = ours.predict(tokens[400:])
    assert np.corrcoef(found, wanted)[0, 1] > 0.8
    assert (
        loss == "rank"
        or np.abs(found - wanted).mean() < 0.6 * np.abs(wanted - wanted.mean()).mean()
    )


def test_the_rank_loss_is_the_mean_of_what_pairs_lack() -> None:
    scores = torch.tensor([0.5, 0.45, -1.0, 2.0])
    accuracy = torch.tensor([0.9, 0.8, 0.8, 0.1])
    # Pairs in order: 0.05 of the margin is lacking, 0, and 1.6, 1.65, 3.1 against the last one.
    assert rank_loss(scores, accuracy).item() == pytest.approx((0.05 + 1.6 + 1.65 + 3.1) / 5)
    assert rank_loss(scores, torch.full((4,), 0.5)).item() == 0


def test_it_learns_the_order_of_rows() -> None:
    ours, tokens = predictor(LEARNING), some_tokens(120, lengths=(2,))
    both = [*tokens, *(rows[::-1].copy() for rows in tokens)]
    targets = [0.9 if rows[0, 0] > rows[1, 0] else 0.1 for rows in both]
    ours.fit(both, targets)
    assert np.abs(ours.predict(both) - targets).mean() < 0.15


def test_global_randomness_is_neither_read_nor_moved() -> None:
    def scores(seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        ours = predictor()
        ours.fit(some_tokens(20), [0.5] * 20)
        assert torch.equal(before, torch.get_rng_state())
        return ours.predict(some_tokens(5))

    assert np.array_equal(scores(1), scores(2))


def test_weights_start_as_the_settings_say() -> None:
    network = predictor(SurrogateSettings(initial=0.25)).network
    for weights in (network.table[1:], network.score.weight):
        assert 0.2 < weights.abs().max() <= 0.25
    assert network.table.shape == (1 + sum(COLUMNS), 100)
    assert network.score.bias.item() == 0
    assert network.lstm.weight_hh_l0.abs().max() <= 0.1


def test_a_space_without_decisions_has_a_score() -> None:
    ours = LstmPredictor((), FAST, 0)
    nothing = np.empty((1, 0), np.int16)
    ours.fit([nothing], [0.7])
    quick = ours.predict_expansions([nothing[:0], nothing], nothing)
    slow = ours.predict([nothing, np.vstack([nothing, nothing])])
    np.testing.assert_allclose(quick[:, 0], slow, atol=1e-5, rtol=0)
