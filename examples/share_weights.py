"""Bind architectures to one set of shared weights, and cut one of them out."""

import numpy as np
import torch

import epnas_dsl as epnas


def main() -> None:
    """Two networks that share, and one that does not any more."""
    space = epnas.load_space("micro", blocks=2, channels=8, repeats=1)
    supernet = epnas.Supernet(seed=0)
    images = torch.rand(4, 3, 32, 32)
    programs = [
        epnas.to_layers(epnas.to_network(a))
        for a in epnas.sample(space, 2, np.random.default_rng(0))
    ]
    first, second = (supernet.network(layers) for layers in programs)
    shared = {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
    print(f"{len(shared)} tensors belong to both")
    alone = supernet.extract(programs[0], first)
    print("equal outputs:", torch.equal(first.eval()(images), alone.eval()(images)))


if __name__ == "__main__":
    main()
