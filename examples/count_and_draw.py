"""Describe a family in a few lines, count it exactly, draw one of its members."""

import sys
from pathlib import Path

import numpy as np

import epnas_dsl as epnas

TEXT = """
space tiny(blocks=3, classes=10)

op := sep_conv_3x3 | mbconv(kernel=3|5, expand=3|6) | max_pool_3x3

cell normal, reduction/2 (prev) {
    level b in 1..blocks {
        source := prev | h[1..b-1]
        h[b] = op(source) + op(source)
    }
    return concat(unused(h))
}

network (image) {
    x = stack(conv_3x3(image, 16), [normal, reduction, normal, reduction, normal])
    return linear(global_avg_pool(x), classes)
}
"""


def main(folder: Path) -> None:
    """Write `cell.svg` into the folder."""
    space = epnas.read_space(TEXT, "tiny.space")
    print(f"{epnas.count_raw(space):,} assignments, {epnas.count_unordered(space):,} architectures")
    architecture = epnas.sample(space, 1, np.random.default_rng(0))[0]
    layers = epnas.to_layers(epnas.to_network(architecture))
    print(architecture, f"{epnas.costs(layers, (3, 32, 32)).params:,} parameters", sep="\n")
    epnas.render(epnas.draw_cell(architecture), folder / "cell.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
