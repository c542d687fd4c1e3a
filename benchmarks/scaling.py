"""A thousand workers and more: what one owner of the records and the weights can keep busy.

    python benchmarks/scaling.py [--seconds 60] [--svg docs/scaling.svg] [-o FILE]

Measured here: a trial appended to the store, a searcher's step, a task through a Ray worker of this
machine, shared weights written out, taken up, merged, and as a checkpoint on the disk; each beside
sqlite3, the standard library's pool of processes, or torch's own way to do the same. Simulated
with these: a single owner that hands out tasks and takes results one after the other, workers
whose trials take so many seconds (log-normal), steps that end when their last trial is recorded.
Assumed: eight workers on a machine, machines joined at 10 Gbit/s, a quarter as standard deviation.
"""

from __future__ import annotations

import heapq
import math
import os
import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from rows import ABOVE, Row, beside, finish, parser, row, timed
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from epnas_dsl.config import Config, SearchSettings, SurrogateSettings
from epnas_dsl.files import write_whole
from epnas_dsl.lang import load_space
from epnas_dsl.nn.network import count_parameters
from epnas_dsl.nn.predictor import LstmPredictor
from epnas_dsl.nn.supernet import Supernet
from epnas_dsl.runs.charts import _Axes, colour
from epnas_dsl.runs.ray_executor import RayExecutor
from epnas_dsl.runs.store import create
from epnas_dsl.runs.trial import Trial
from epnas_dsl.search import EpnasSearcher
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import network_layers
from epnas_dsl.space.tokens import columns

KEPT, MACHINE, BANDWIDTH, SPREAD = 25, 8, 1.25e9, 0.25
WORKERS = [round(10 ** (i / 8)) for i in range(33)]
STYLE = """<style>
svg { background: #fff; font: 12px sans-serif; --bright: 45%; }
text { fill: #444; } .end { text-anchor: end; } .mid { text-anchor: middle; }
.grid { stroke: #ddd; } .axis, .tick { stroke: #777; }
.guide { stroke: #777; stroke-dasharray: 3 4; } .curve { fill: none; stroke-width: 2.2; }
</style>"""


class Instant:
    """An evaluator that has nothing to do: what is left is the way there and back."""

    def evaluate(self, architecture: Architecture, number: int) -> dict[str, float]:
        return {"accuracy": 0.5}


@dataclass(frozen=True)
class Owner:
    """What keeps the owner busy, in seconds: once a step, for each task, for each result."""

    step: float
    task: float
    result: float


@dataclass(frozen=True)
class Course:
    """What a simulation comes to.

    Attributes:
        speedup: seconds of trials in a second.
        busy: the owner's share of busy time.
        queue: results that wait for the owner, on average.
        rate: trials in a second.
    """

    speedup: float
    busy: float
    queue: float
    rate: float


def simulate(workers: int, size: int, owner: Owner, seconds: float, trials: int) -> Course:
    """Trials in steps of `size`, carried out by workers and recorded by one owner.

    The owner hands a task out wherever a worker is idle, and else waits for the next result; a
    step begins when the one before is recorded as a whole.
    """
    generator = np.random.default_rng(0)
    sigma = math.sqrt(math.log(1 + SPREAD**2))
    durations = generator.lognormal(math.log(seconds) - sigma**2 / 2, sigma, trials).tolist()
    clock = busy = waited = 0.0
    idle, begun, recorded = workers, 0, 0
    ends: list[float] = []
    while recorded < trials:
        end = min(recorded + size, trials)
        clock, busy = clock + owner.step, busy + owner.step
        while recorded < end:
            if idle and begun < end:
                clock, busy = clock + owner.task, busy + owner.task
                heapq.heappush(ends, clock + durations[begun])
                idle, begun = idle - 1, begun + 1
            else:
                came = heapq.heappop(ends)
                waited += max(0.0, clock - came)
                clock, busy = max(clock, came) + owner.result, busy + owner.result
                idle, recorded = idle + 1, recorded + 1
    return Course(sum(durations) / clock, busy / clock, waited / clock, trials / clock)


def store_seconds(folder: Path, architectures: list[Architecture]) -> tuple[float, float]:
    """A trial appended, as it is on the disk afterwards; and its text as a row of sqlite3 alone."""
    times, plain = [], []
    with (
        create(folder / "run", Config(), "space") as store,
        closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as database,
    ):
        database.executescript("PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE trials (text TEXT)")
        for i, a in enumerate(architectures):
            trial = Trial(
                number=i, architecture=str(a), id=a.id, key=a.key, level=a.level,
                metrics={"accuracy": 0.5}, notes={"predicted": 0.5},
            )  # fmt: skip
            times.append(wall(partial(store.append, trial)))
            inserted = partial(database.execute, "INSERT INTO trials VALUES (?)", (repr(trial),))
            plain.append(wall(inserted))
    return statistics.median(times), statistics.median(plain)


def step_seconds() -> tuple[float, float]:
    """A searcher's last step: the surrogate fitted, all expansions scored, 25 drawn and told of.

    And as many drawn uniformly.
    """
    space, accuracies = load_space("micro"), np.random.default_rng(1)
    predictor = LstmPredictor(columns(space), SurrogateSettings(), 0)
    searcher = EpnasSearcher(space, SearchSettings(kept=KEPT, retrain="yes"), predictor)
    times: list[float] = []
    for _ in range(5):

        def step() -> None:
            found = searcher.ask(10**6)
            for a in found:
                searcher.tell(a, {"accuracy": float(accuracies.uniform(0.3, 0.9))})

        times.append(timed(step))
    uniform = median(lambda: sample(space, KEPT, accuracies))
    return times[-1], uniform  # of the last level: the most expansions, the most points to fit


def pool_seconds(architectures: list[Architecture]) -> float:
    """A task to a process of the standard library's pool here and back, by the clock."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        evaluate = Instant().evaluate
        times = []
        for _ in range(6):  # the first of them starts the processes
            run = partial(list, pool.map(evaluate, architectures, range(len(architectures))))
            times.append(wall(run) / len(architectures))
    return statistics.median(times[1:])


def ray_seconds(architectures: list[Architecture]) -> tuple[float, float]:
    """A task to a Ray worker here and back: by the clock, and of the owner's processor."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    executor = RayExecutor(Instant, "local", 2)
    try:
        tasks = list(enumerate(architectures))
        list(executor.evaluate(tasks[:10]))
        clocks, processors = [], []
        for _ in range(5):
            start = time.perf_counter()
            processors.append(timed(lambda: list(executor.evaluate(tasks))) / len(tasks))
            clocks.append((time.perf_counter() - start) / len(tasks))
        return statistics.median(clocks), statistics.median(processors)
    finally:
        executor.close()


def weight_costs(folder: Path, architectures: list[Architecture]) -> dict[str, float]:
    """The shared weights after many architectures: bytes, and seconds to hand them about."""
    supernet = Supernet(0)
    networks = [supernet.network(network_layers(a, (3, 32, 32))) for a in architectures]
    whole = to_bytes(supernet.state())
    parts = [to_bytes(supernet.state(network)) for network in networks[:8]]
    path, saved = folder / "weights", BytesIO()
    torch.save(supernet.state(), saved)

    def loaded() -> None:
        saved.seek(0)
        torch.load(saved)

    return {
        "bytes": len(whole),
        "each": float(sum(4 * count_parameters(network) for network in networks)),
        "part": statistics.median(map(len, parts)),
        "dump": median(lambda: to_bytes(supernet.state())),
        "dump, plain": median(lambda: torch.save(supernet.state(), BytesIO())),
        "take": median(lambda: supernet.load_state(from_bytes(whole))),
        "take, plain": median(loaded),
        "merge": median(lambda: supernet.merge([from_bytes(p) for p in parts])) / len(parts),
        "merge, plain": median(lambda: [from_bytes(p) for p in parts]) / len(parts),
        "checkpoint": statistics.median(wall(lambda: write_whole(path, whole)) for _ in range(7)),
        "checkpoint, plain": statistics.median(
            wall(lambda: path.write_bytes(whole)) for _ in range(7)
        ),
    }


def wall(run: Callable[[], object]) -> float:
    """Seconds by the clock, for what waits for a disk."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def median(run: Callable[[], object]) -> float:
    return statistics.median(timed(run) for _ in range(7))


def owners(
    append: float, step: float, task: float, weights: dict[str, float]
) -> dict[str, tuple[Callable[[int], int], Owner]]:
    """Each way to work: the size of its steps by the number of workers, and its owner."""
    alone = Owner(step, task, append)
    send = weights["bytes"] / BANDWIDTH / MACHINE  # each machine fetches a snapshot once
    receive = weights["part"] / BANDWIDTH + weights["merge"]
    batch = Owner(step + weights["dump"] + weights["checkpoint"] + append, task + send, receive)
    return {
        "no steps, own weights": (lambda n: 10**9, Owner(0, task, append)),
        "steps of 1,000, own weights": (lambda n: 1000, alone),
        f"steps of {KEPT} (the paper's K), own weights": (lambda n: KEPT, alone),
        "batches as large as the workers are many, shared weights": (lambda n: n, batch),
    }


def chart(courses: dict[str, list[Course]]) -> str:
    """Speed-up over workers, both in powers of ten."""
    axes = _Axes((0, 4), (0, 4), whole_x=False)
    marks = [f'<line class="guide" x1="{axes.x(0)}" y1="{axes.y(0)}" x2="{axes.x(4)}" '
             f'y2="{axes.y(4)}"/>']  # fmt: skip
    for i, (name, found) in enumerate(courses.items(), 1):
        points = zip(WORKERS, found, strict=True)
        places = [(axes.x(math.log10(n)), axes.y(max(0, math.log10(c.speedup)))) for n, c in points]
        ink, y = colour(i, len(courses)), 30 + 17 * i
        line = " ".join(f"{x},{y}" for x, y in places)
        marks += [f'<polyline class="curve" style="stroke: {ink}" points="{line}"/>',
                  f'<line class="curve" style="stroke: {ink}" x1="76" x2="96" y1="{y}" y2="{y}"/>',
                  f'<text x="102" y="{y + 4}">{name}</text>']  # fmt: skip

    def power(value: float) -> str:
        return f"{10**value:,.0f}" if value % 1 == 0 else ""

    drawn = axes.draw(marks, ("workers", "trials at a time, on average"), power, power)
    head, rest = drawn.split("\n", 1)
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"')
    return f"{head}\n{STYLE}\n{rest}\n"


def bend(found: Iterable[Course]) -> int:
    """The first number of workers of which half are idle; 0 if that is beyond those simulated."""
    return next((n for n, c in zip(WORKERS, found, strict=True) if c.speedup < n / 2), 0)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--seconds", type=float, default=60, help="of a trial, on average")
    made.add_argument("--svg", type=Path, help="draw the speed-ups there")
    given = made.parse_args()
    found = sample(load_space("micro"), 200, np.random.default_rng(0))
    with tempfile.TemporaryDirectory(dir=".") as name:
        append, plain = store_seconds(Path(name), found)
        weights = weight_costs(Path(name), found[:60])
    step, uniform = step_seconds()
    pool, (clock, task) = pool_seconds(found), ray_seconds(found)
    ms = {name: 1e3 * value for name, value in {
        "append": append, "plain": plain, "pool": pool, "clock": clock, "task": task}.items()
    }  # fmt: skip
    rows: list[Row] = [
        row("a trial appended to the store", ms["append"], "ms",
            beside("sqlite3 alone, as safe", ms["plain"], ms["append"], "ms")),
        row("a step of the searcher, 25 of micro, level 5", step, "s",
            beside("25 drawn uniformly", uniform, step, "s")),
        row("a task to a Ray worker here and back", ms["clock"], "ms",
            beside("concurrent.futures, two processes", ms["pool"], ms["clock"], "ms")),
        row("  of it the owner's processor", ms["task"], "ms", ABOVE),
        *weight_rows(weights),
    ]  # fmt: skip
    courses: dict[str, list[Course]] = {}
    for name, (size, owner) in owners(append, step, task, weights).items():
        courses[name] = [
            simulate(n, size(n), owner, given.seconds, max(500, 12 * n)) for n in WORKERS
        ]
        rows += course_rows(name, courses[name], given.seconds)
    if given.svg:
        given.svg.write_text(chart(courses), encoding="utf-8")
    finish(rows, given.output)


def weight_rows(found: dict[str, float]) -> list[Row]:
    """What the shared weights cost, beside torch's own ways."""
    ways = [("written out", "dump", "torch.save"), ("taken up by a worker", "take", "torch.load"),
            ("merged, for each child", "merge", "read and thrown away"),
            ("as a checkpoint on the disk", "checkpoint", "written, not waited for"),
            ]  # fmt: skip
    megabytes = found["bytes"] / 1e6
    return [
        row("shared weights of micro after 60 architectures", megabytes, "MB",
            beside("60 networks of their own", found["each"] / 1e6, megabytes, "MB")),
        row("  of one architecture", found["part"] / 1e6, "MB",
            beside("the row above", megabytes, found["part"] / 1e6, "MB")),
        *(row(f"  {what}", 1e3 * found[key], "ms",
              beside(plain, 1e3 * found[f"{key}, plain"], 1e3 * found[key], "ms"))
          for what, key, plain in ways),
    ]  # fmt: skip


def course_rows(name: str, found: list[Course], seconds: float) -> list[Row]:
    """What a thousand workers come to, and where half of them are idle."""
    last = found[WORKERS.index(1000)]
    return [
        row(f"{name}: 1,000 workers do the work of", last.speedup, "workers",
            f"1,000 that never wait; trials of {seconds:g} s, simulated"),
        row("  the owner is busy", 100 * last.busy, "%", ABOVE),
        row("  results that wait for it", last.queue, "", ABOVE),
        row("  trials recorded", last.rate, "a second",
            beside("1,000 that never wait", 1000 / seconds, last.rate, "a second")),
        row("  half of the workers are idle from (0: never)", bend(found), "workers",
            f"up to {WORKERS[-1]:,}, simulated"),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
