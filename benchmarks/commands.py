"""Every command of `epnas` on real inputs: what a user waits for, the slowest first.

    python benchmarks/commands.py [--rounds 1] [-o FILE]

Processor's seconds, start-up included, each held against an interpreter that does no more than
load what the command cannot do without; the exports to ONNX and .pt2 against torch's own of the
file that `epnas compile` writes. The run that is reported has 2,000 trials; the one that is
searched, trained and evaluated is small.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from growth import run_of
from rows import beside, finish, parser, processor_seconds, row

SMALL = "micro(blocks=2, channels=4, repeats=1)"
ARCH = (
    "micro: h1 = skip_connect(prev2) + conv_3x3(prev1); "
    "h2 = dw_conv_5x5(prev1) + max_pool_3x3(h1); h3 = conv_5x5(prev2) + dw_conv_3x3(h1); "
    "h4 = dw_conv_3x3(h2) + avg_pool_3x3(prev2); h5 = conv_3x3(h2) + dw_conv_5x5(h4)"
)
OTHER = ARCH.replace("h5 = conv_3x3", "h5 = conv_5x5")
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|"
FAST = ["--set", "search.kept=2", "--set", "search.iterations=1", "--set",
        "search.first_level_limit=2", "--set", "training.epochs=1", "--set", "training.threads=1",
        "--set", "data.limit=300", "--set", "evaluation.final_epochs=1"]  # fmt: skip

BARE, TORCH = "python -c 'import click, rich'", "python -c 'import click, rich, torch'"
LOADS_TORCH = {"search", "resume", "train", "evaluate", "compile", "doctor"}
MODEL = """
import runpy, sys, torch
network = runpy.run_path(sys.argv[1])["Model"]().eval()
images = torch.rand(3, 3, 32, 32)
"""
EXPORTS = {
    ".onnx": ("torch.onnx.export of the compiled file",
              "torch.onnx.export(network, (images,), sys.argv[2], dynamo=True)"),
    ".pt2": ("torch.export of the compiled file",
             "torch.export.save(torch.export.export(network, (images,)), sys.argv[2])"),
}  # fmt: skip


def rival(command: list[str]) -> str:
    """What a command is held against."""
    if Path(command[-1]).suffix in EXPORTS:
        return EXPORTS[Path(command[-1]).suffix][0]
    return TORCH if command[0] in LOADS_TORCH else BARE


def rivals(folder: Path) -> dict[str, list[str]]:
    """How those are started, after the commands."""
    python, written = [sys.executable, "-c"], folder / "written"
    return {
        BARE: [*python, "import click, rich"], TORCH: [*python, "import click, rich, torch"],
        **{name: [*python, MODEL + code, f"{written}.py", f"{written}-plain{suffix}"]
           for suffix, (name, code) in EXPORTS.items()},
    }  # fmt: skip


def commands(run: Path, small: Path, folder: Path) -> list[list[str]]:
    """The commands, in the order in which they are run: later ones read what earlier ones wrote."""
    out = str(folder / "written")
    return [
        ["--help"], ["init", str(folder / "mine")], ["check", "micro"],
        ["check", "densenet"], ["explain", "E012"],
        ["format", "--check", str(folder / "mine.space")],
        ["show", "darts"], ["count", "micro", "--unique"], ["count", "ofa", "--unique"],
        ["count", "nasbench201", "--unique"], ["sample", "micro", "-n", "1000"],
        ["sample", "nasbench101", "-n", "200"], ["draw", "micro", "-o", f"{out}.svg"],
        ["draw", ARCH, "-o", f"{out}.png"], ["draw", "densenet", "-o", f"{out}.pdf"],
        ["convert", CELL, "--from", "nasbench201", "--to", "epnas"], ["diff", ARCH, OTHER],
        ["neighbours", ARCH], ["summary", ARCH], ["compile", ARCH, "-o", f"{out}.py"],
        ["compile", ARCH, "-o", f"{out}.pt2"], ["compile", ARCH, "-o", f"{out}.onnx"],
        ["search", SMALL, "--data", "digits", "--out", str(small), *FAST], ["resume", str(small)],
        ["status", str(run)], ["report", str(run)], ["top", str(run)], ["report", str(small)],
        ["train", f"{small}:best", "--data", "digits", "--out", f"{out}-trained", "--set",
         "training.epochs=1", "--set", "training.threads=1", "--set", "data.limit=300"],
        ["evaluate", f"{out}-trained", "--data", "digits"], ["doctor"],
    ]  # fmt: skip


def named(command: list[str], folder: Path) -> str:
    """A command as a row shows it."""
    words = [{ARCH: "ARCH", OTHER: "ARCH", CELL: "CELL", SMALL: "micro(..)"}.get(w, w)
             for w in command if "=" not in w or w in {ARCH, OTHER, SMALL}]  # fmt: skip
    return " ".join(["epnas", *(w.replace(f"{folder}/", "") for w in words if w != "--set")])


def measured(arguments: list[str]) -> float | None:
    """A processor's seconds; None, with a message, where it fails."""
    try:
        return processor_seconds(arguments)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return None


def main() -> int:
    """1 where a command failed, which has no row then."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=1)
    given = arguments.parse_args()
    times: dict[str, list[float]] = {}
    held: dict[str, str] = {}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.chdir(folder)
            run_of(2000, folder / "run")
            runs: dict[str, list[str]] = {}
            for command in commands(folder / "run", folder / "small", folder):
                shown = named(command, folder)
                held[shown] = rival(command)
                runs[shown] = [sys.executable, "-m", "epnas_dsl", *command]
            for shown, started in {**runs, **rivals(folder)}.items():
                if (seconds := measured(started)) is not None:
                    times.setdefault(shown, []).append(seconds)
            os.chdir("/")
    middle = {shown: statistics.median(found) for shown, found in times.items()}
    slowest = sorted(middle.keys() & held.keys(), key=lambda shown: -middle[shown])
    rows = []
    for shown in slowest:
        against = beside(held[shown], middle[held[shown]], middle[shown], "s")
        rows.append(row(shown, middle[shown], "s", against))
    finish(rows, given.output)
    return int(not held.keys() <= middle.keys())


if __name__ == "__main__":
    sys.exit(main())
