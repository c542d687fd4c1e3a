"""Turn an architecture into a table of its costs, an exported file, a trained network, a score."""

from __future__ import annotations

import click

from epnas_dsl.cli import arguments
from epnas_dsl.cli.spaces import as_json
from epnas_dsl.cli.terminal import document, say, table


@click.command("summary")
@click.argument("arch")
@as_json
@click.option("--image", default="3x32x32", help="Channels, height, width (3x32x32).")
def summary_command(arch: str, as_json: bool, image: str) -> None:
    """Show the layers, parameters and multiply-accumulates of an architecture."""
    from epnas_dsl.cli import listings
    from epnas_dsl.space.graph import to_layers, to_network
    from epnas_dsl.space.shapes import costs

    shape = arguments.image(image)
    architecture = arguments.architecture(arch)
    network = to_network(architecture, shape)
    cost = costs(to_layers(network), shape)
    rows = listings.costs_by_node(network, shape)
    total = {
        "params": cost.params,
        "macs": cost.macs,
        "depth": cost.depth,
        "activations": cost.activations,
    }
    if as_json:
        names = ("node", "operation", "inputs", "output", "params", "macs")
        plain = [dict(zip(names, row, strict=True)) for row in rows]
        facts = {"architecture": str(architecture), "id": architecture.id, "image": shape}
        document(**facts, **total, nodes=plain)
        return
    say(architecture)
    say()
    shown = [(n, o, "x".join(map(str, s)), f"{p:,}", f"{m:,}") for n, o, _, s, p, m in rows]
    table([("node", "operation", "output", "params", "MACs"), *shown], right=(3, 4))
    say()
    say(f"parameters   {cost.params:,}")
    say(f"MACs         {cost.macs:,} for an image of {image}")
    say(f"depth        {cost.depth} convolutions and fully connected layers")
    say(f"activations  {cost.activations:,} numbers ({cost.activations * 4 / 2**20:.1f} MiB)")
