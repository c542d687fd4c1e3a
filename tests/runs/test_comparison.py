import numpy as np

from epnas_dsl.runs.comparison import picture, quartiles
from epnas_dsl.runs.trial import Trial


def made(*accuracies):
    return [
        Trial(number=i, architecture="a", id="", key="", level=1,
              state="failed" if a is None else "complete",
              metrics={} if a is None else {"accuracy": a})
        for i, a in enumerate(accuracies)
    ]  # fmt: skip


def test_quartiles_of_the_best_so_far():
    runs = [made(0.1, 0.3, 0.2, 0.9), made(None, 0.2, 0.4), made(0.5, None, 0.1, 0.6)]
    lower, median, upper = quartiles(runs, 4)
    assert median.tolist() == [0.1, 0.3, 0.4, 0.6]  # the second run ended early, with 0.4
    np.testing.assert_allclose(lower, [0.05, 0.25, 0.35, 0.5])
    np.testing.assert_allclose(upper, [0.3, 0.4, 0.45, 0.75])


def test_hostile_names_stay_inside_the_picture(tmp_path):
    from epnas_dsl.space.drawing import to_svg

    evil = 'a"]; b\\n<script>\x1b'
    curves = {evil: quartiles([made(0.5)], 1), "plain": quartiles([made(0.5)], 1)}
    svg = to_svg(picture(curves, evil, 1))
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg
    assert "\x1b" not in svg
    assert ">plain, 50 %" in svg


def test_a_thousand_evaluations_are_drawn():
    from epnas_dsl.space.drawing import to_svg

    rising = quartiles([made(*(i / 1000 for i in range(1000)))], 1000)
    assert "polygon fill=" in to_svg(picture({"a": rising, "b": rising}, "long", 1))
