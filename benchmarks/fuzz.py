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
import random
import resource
import signal
import sys
import time
import traceback
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fuzzing
from rows import finish, row

from epnas_dsl.lang import load_space
from epnas_dsl.resources import names

LIMIT = 1.0  # seconds that a stage may take
WAY = ("parse", "lower", "check", "parse architecture", "match")
KEPT = 5  # failing texts of a kind


def on_time_out(*_: object) -> None:
    """End a text that hangs."""
    raise TimeoutError


def signature(error: Exception) -> str:
    """What failing texts of one kind have in common."""
    if isinstance(error, TimeoutError | RecursionError | MemoryError):
        return type(error).__name__
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} {Path(frame.filename).name}:{frame.name} {str(error)[:40]}"


def attempt(examine: Callable[[str], fuzzing.Outcome], text: str) -> fuzzing.Outcome | str:
    """What becomes of a text; the signature of what went wrong."""
    signal.setitimer(signal.ITIMER_REAL, 30 * LIMIT)
    try:
        return examine(text)
    except Exception as error:
        return signature(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def work(job: tuple[int, int, float, float]) -> dict[str, Any]:
    """What became of `count` texts of a seed, or of those that there was time for."""
    seed, count, until, share = job
    signal.signal(signal.SIGALRM, on_time_out)
    chance = random.Random(seed)
    spaces = [load_space(name) for name in names("spaces")]
    texts = fuzzing.space_texts(chance)
    genotypes = fuzzing.architecture_texts(chance, spaces)
    outcomes: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    seconds: defaultdict[str, array[float]] = defaultdict(lambda: array("f"))
    bugs: defaultdict[str, list[str]] = defaultdict(list)
    slow: list[tuple[float, str, str]] = []
    done = 0
    while done < count and time.time() < until:
        done += 1
        turns = 2 * (chance.random() < share)
        examine: Callable[[str], fuzzing.Outcome] = partial(fuzzing.examine_space, turns=turns)
        if chance.random() < 0.25:
            source, text, space = next(genotypes)
            examine = partial(fuzzing.examine_architecture, space=space)
        else:
            source, text = next(texts)
        found = attempt(examine, text)
        if isinstance(found, str):
            if len(bugs[found]) < KEPT:
                small = fuzzing.shrink(text, lambda t: attempt(examine, t) == found)  # noqa: B023
                bugs[found].append(f"{source}: {small}")
            outcomes[f"{source}: bug"] += 1
            continue
        refused = any(c.startswith("E") for c in found.codes)
        outcomes[f"{source}: {'refused by ' if refused else ''}{found.reached}"] += 1
        codes.update(set(found.codes))
        for stage, spent in found.seconds.items():
            seconds[stage].append(spent)
        way = sum(found.seconds.get(stage, 0) for stage in WAY)
        seconds["all"].append(way)
        slow = sorted([*slow, (way, source, text)], reverse=True)[:10]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"texts": done, "outcomes": outcomes, "codes": codes, "peak": peak, "slow": slow,
            "seconds": dict(seconds), "bugs": dict(bugs)}  # fmt: skip


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The results of all processes, put together."""
    outcomes: Counter[str] = sum((r["outcomes"] for r in results), Counter())
    codes: Counter[str] = sum((r["codes"] for r in results), Counter())
    times: dict[str, dict[str, float]] = {}
    for stage in dict.fromkeys(s for r in results for s in r["seconds"]):
        found = sorted(s for r in results for s in r["seconds"].get(stage, ()))
        places = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
        times[stage] = {k: round(1e3 * found[int(q * (len(found) - 1))], 2)
                        for k, q in places.items()}  # fmt: skip
        times[stage]["texts"] = len(found)
    bugs: defaultdict[str, list[str]] = defaultdict(list)
    for r in results:
        for kind, texts in r["bugs"].items():
            bugs[kind] += texts
    slow = sorted((s for r in results for s in r["slow"]), reverse=True)[:10]
    return {
        "texts": sum(r["texts"] for r in results),
        "outcomes": dict(sorted(outcomes.items())),
        "codes": dict(sorted(codes.items())),
        "milliseconds": times,
        "peak_mb": round(max(r["peak"] for r in results), 1),
        "over_a_second": sum(s > LIMIT for r in results for s in r["seconds"].get("all", ())),
        "slowest": [{"milliseconds": round(1e3 * t), "source": s, "text": x} for t, s, x in slow],
        "bugs": {k: sorted(v, key=len)[:KEPT] for k, v in sorted(bugs.items())},
    }


def main() -> int:
    """Run the attack; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=int, nargs="?", default=10_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="stop after so many")
    parser.add_argument("--share", type=float, default=1.0,
                        help="of the texts that are formatted and sampled, too")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the rows as JSON")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write all of it as JSON")
    given = parser.parse_args()
    n = given.processes
    until = time.time() + 60 * given.minutes
    jobs = [(given.seed * 1000 + i, given.texts // n + (i < given.texts % n), until, given.share)
            for i in range(n)]  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(n) as pool:
        found = summary(pool.map(work, jobs, chunksize=1))
    if given.report:
        given.report.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    found.pop("slowest")
    print(json.dumps(found, indent=1))
    spent = found["milliseconds"]["all"]
    finish(
        [
            row("hostile texts read or refused", found["texts"], "texts"),
            row("  promises broken", len(found["bugs"]), "", at_most=0),
            row("  in the middle", spent["p50"], "ms"),
            row("  99th percentile", spent["p99"], "ms"),
            row("  the slowest", spent["max"], "ms"),
            row("  memory at the peak", found["peak_mb"], "MB"),
        ],
        given.output,
    )
    return 1 if found["bugs"] else 0


if __name__ == "__main__":
    sys.exit(main())
