"""Attack the language with random and damaged texts: what becomes of them, how soon, in how much
memory.

    python benchmarks/fuzz.py 1000000 --processes 4 --report fuzz.json

Every text has to end in a result that holds its promises or in a documented error; the others are
shrunk and written into the JSON file. Times are CPU times of a text's way to its result (parse,
lower, check) or of one stage of it; `format` and `architectures` are the test's own look at what
is made of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import random
import re
import resource
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fuzzing
from rows import ABOVE, beside, finish, row

from epnas_dsl.lang import load_space
from epnas_dsl.resources import names

LIMIT = 1.0  # seconds that a stage may take
MEMORY = 2 << 30  # bytes of a process, beyond which a text fails and the machine does not
WAY = ("parse", "lower", "check", "parse architecture", "match")
KEPT = 5  # failing texts of a kind
STEPS, SHRINKING = 2000, 20.0  # of shrinking one text: attempts, seconds of CPU time
SHOWN = 120.0  # seconds between two results so far
Job = tuple[int, int, int, float, float]  # seed, first text, last text, time of the end, share


def on_time_out(*_: object) -> None:
    """End a text that hangs."""
    raise TimeoutError


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def signature(error: Exception) -> str:
    """What failing texts of one kind have in common."""
    if isinstance(error, TimeoutError | RecursionError | MemoryError):
        return type(error).__name__
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = re.sub(r"\S+:\d+:\d+: |`.*`", "", str(error).partition("\n")[0])
    return f"{type(error).__name__} {Path(frame.filename).name}:{frame.name} {message[:60]}"


def attempt(examine: Callable[[str], fuzzing.Outcome], text: str) -> fuzzing.Outcome | str:
    """What becomes of a text; the signature of what went wrong."""
    signal.setitimer(signal.ITIMER_PROF, 30 * LIMIT)
    try:
        return examine(text)
    except Exception as error:
        return signature(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def smaller(examine: Callable[[str], fuzzing.Outcome], text: str, found: str) -> str:
    """A smaller text of which the same becomes, if that can be had soon."""
    if found == TimeoutError.__name__:
        return text
    end = time.process_time() + SHRINKING
    return fuzzing.shrink(
        text, lambda t: time.process_time() < end and attempt(examine, t) == found, STEPS
    )


def work(job: Job) -> Iterator[dict[str, Any]]:
    """What became of the texts `first` to `count` of a seed, or of those that there was time for:
    so far every few minutes, and all in the end."""
    seed, first, count, until, share = job
    signal.signal(signal.SIGPROF, on_time_out)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    chance = random.Random(seed)
    spaces = [load_space(name) for name in names("spaces")]
    texts = fuzzing.space_texts(chance)
    genotypes = fuzzing.architecture_texts(chance, spaces)
    outcomes: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    seconds: defaultdict[str, Counter[float]] = defaultdict(Counter)  # to 3 digits, how often
    bugs: defaultdict[str, list[str]] = defaultdict(list)
    slow: list[tuple[float, str, str]] = []
    large: list[tuple[float, int, str, str]] = []  # the MB by which it raised the peak, number, ...
    peak = bare = peak_mb()
    shown = time.time()

    def result() -> dict[str, Any]:
        return {
            "texts": sum(outcomes.values()),
            "outcomes": outcomes,
            "codes": codes,
            "peak": peak_mb(),
            "bare": bare,
            "slow": slow,
            "large": large,
            "seconds": dict(seconds),
            "bugs": dict(bugs),
        }

    for number in range(1, count + 1):
        if time.time() > until:
            break
        if time.time() > shown + SHOWN:
            yield result()
            shown = time.time()
        turns = 2 * (chance.random() < share)
        examine: Callable[[str], fuzzing.Outcome] = partial(fuzzing.examine_space, turns=turns)
        if chance.random() < 0.25:
            source, text, space = next(genotypes)
            examine = partial(fuzzing.examine_architecture, space=space)
        else:
            source, text = next(texts)
        if number < first:
            continue
        found = attempt(examine, text)
        if peak_mb() > peak:
            large = sorted([*large, (peak_mb() - peak, number, source, text)], reverse=True)[:10]
            peak = peak_mb()
        if isinstance(found, str):
            if len(bugs[found]) < KEPT:
                bugs[found].append(f"{number}, {source}: {smaller(examine, text, found)}")
            outcomes[f"{source}: bug"] += 1
            continue
        refused = any(c.startswith("E") for c in found.codes)
        outcomes[f"{source}: {'refused by ' if refused else ''}{found.reached}"] += 1
        codes.update(set(found.codes))
        for stage, spent in found.seconds.items():
            seconds[stage][float(f"{spent:.3g}")] += 1
        way = sum(found.seconds.get(stage, 0) for stage in WAY)
        seconds["all"][float(f"{way:.3g}")] += 1
        slow = sorted([*slow, (way, source, text)], reverse=True)[:10]
    yield result()


def send(job: Job, results: multiprocessing.Queue[tuple[int, dict[str, Any]]]) -> None:
    """Put the results of a job so far into the queue."""
    for found in work(job):
        results.put((job[0], found))


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The results of all processes, put together."""
    outcomes: Counter[str] = sum((r["outcomes"] for r in results), Counter())
    codes: Counter[str] = sum((r["codes"] for r in results), Counter())
    times: dict[str, dict[str, float]] = {}
    for stage in dict.fromkeys(s for r in results for s in r["seconds"]):
        found = sorted(s for r in results for s in r["seconds"].get(stage, Counter()).elements())
        places = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
        times[stage] = {k: round(1e3 * found[int(q * (len(found) - 1))], 2)
                        for k, q in places.items()}  # fmt: skip
        times[stage]["texts"] = len(found)
    bugs: defaultdict[str, list[str]] = defaultdict(list)
    for r in results:
        for kind, texts in r["bugs"].items():
            bugs[kind] += texts
    slow = sorted((s for r in results for s in r["slow"]), reverse=True)[:10]
    large = sorted((s for r in results for s in r["large"]), reverse=True)[:10]
    return {
        "texts": sum(r["texts"] for r in results),
        "outcomes": dict(sorted(outcomes.items())),
        "codes": dict(sorted(codes.items())),
        "milliseconds": times,
        "peak_mb": round(max((r["peak"] for r in results), default=0.0), 1),
        "over_a_second": sum(
            n for r in results for s, n in r["seconds"].get("all", {}).items() if s > LIMIT
        ),
        "slowest": [{"milliseconds": round(1e3 * t), "source": s, "text": x} for t, s, x in slow],
        "largest": [
            {"mb": round(m, 1), "number": i, "source": s, "text": x} for m, i, s, x in large
        ],
        "bugs": {k: sorted(v, key=len)[:KEPT] for k, v in sorted(bugs.items())},
    }


def main() -> int:
    """Run the attack; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=int, nargs="?", default=10_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=1, help="the text of each process to begin at")
    parser.add_argument("--minutes", type=float, default=24 * 60, help="stop after so many")
    parser.add_argument("--share", type=float, default=1.0,
                        help="of the texts that are formatted and sampled, too")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the rows as JSON")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write all of it as JSON")
    given = parser.parse_args()
    n = given.processes
    until = time.time() + 60 * given.minutes
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[int, dict[str, Any]]] = context.Queue()
    processes = [context.Process(target=send, args=((1000 * given.seed + i, given.first,
                 given.texts // n + (i < given.texts % n), until, given.share), results))
                 for i in range(n)]  # fmt: skip
    for process in processes:
        process.start()
    so_far: dict[int, dict[str, Any]] = {}
    found = summary([])
    running = True
    while running:
        running = any(process.is_alive() for process in processes)
        with suppress(queue.Empty):
            while True:
                seed, result = results.get(timeout=2)
                so_far[seed] = result
                found = summary(list(so_far.values()))
                if given.report:
                    given.report.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    found.pop("slowest")
    found.pop("largest")
    print(json.dumps(found, indent=1))
    if not so_far:
        return 1
    spent, limit = found["milliseconds"]["all"], f"the {1e3 * LIMIT:,.0f} ms"
    bare = max(r["bare"] for r in so_far.values())
    finish(
        [
            row("hostile texts read or refused", found["texts"], "texts",
                "the promise that each ends in a result or a documented error"),
            row("  promises broken", len(found["bugs"]), "", ABOVE, at_most=0),
            row("  in the middle", spent["p50"], "ms", f"{limit}, which a stage may take"),
            row("  99th percentile", spent["p99"], "ms",
                beside("the one in the middle", spent["p50"], spent["p99"], "ms")),
            row("  the slowest", spent["max"], "ms", f"{limit}, which a stage may take"),
            row("  memory at the peak", found["peak_mb"], "MB",
                beside("a process that has read no text", bare, found["peak_mb"], "MB")),
        ],
        given.output,
    )  # fmt: skip
    return 1 if found["bugs"] or any(process.exitcode for process in processes) else 0


if __name__ == "__main__":
    sys.exit(main())
