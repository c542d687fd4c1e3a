"""Turn this machine into a list: what is installed, what draws, what computes, how much room."""

from __future__ import annotations

import os
import sys

import click

from epnas_dsl.cli.spaces import as_json
from epnas_dsl.cli.terminal import document, table

NEEDED = ["click", "filelock", "graphviz", "jinja2", "lark", "msgspec", "networkx", "numpy",
          "pygraphviz", "rich", "safetensors", "torch", "torchvision"]  # fmt: skip
OPTIONAL = ["onnx", "ray", "altair", "tensorboard"]


@click.command("doctor")
@as_json
def doctor_command(as_json: bool) -> int:
    """Show what is installed, and what it runs on."""
    import platform
    import shutil

    from epnas_dsl import experiment
    from epnas_dsl.resources import names

    found = {name: _version(name) for name in [*NEEDED, *OPTIONAL]}
    missing = [name for name in NEEDED if not found[name]]
    facts = {
        "epnas-dsl": _version("epnas-dsl"),
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.platform()}, {os.cpu_count()} processors",
        "renderer": _renderer(),
        "spaces": ", ".join(names("spaces")),
        "room here": f"{shutil.disk_usage('.').free / 2**30:.1f} GiB",
        "device": "" if {"numpy", "torch"} & set(missing) else experiment.device(),
        **found,
    }
    if as_json:
        document(ok=not missing, missing=missing, facts=facts)
    else:
        table((n, v or ("MISSING" if n in missing else "not installed")) for n, v in facts.items())
    return 2 if missing else 0


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _renderer() -> str:
    """What makes pictures of DOT here."""
    import shutil
    from importlib.util import find_spec

    if program := shutil.which("dot"):
        return f"{program} (Graphviz)"
    if find_spec("pygraphviz"):
        return "pygraphviz, in process"
    return "none: pictures become HTML pages with the text of the drawing"
