"""Turn architectures into outcomes on the machines of a Ray cluster.

Only Ray's core is used: actors, `ray.put`, `ray.wait`. Each worker is an actor that keeps its
evaluator and has at most one task; the others wait here, so that what is in flight is bounded by
the number of workers, and what was in flight on a machine that dies goes to another one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from epnas_dsl.errors import ConfigError, EpnasError
from epnas_dsl.runs.evaluator import Evaluator
from epnas_dsl.runs.executor import Executor, Factory, Outcome, Task, measure

ATTEMPTS = 3  # how often a task is given to a worker before it counts as failed
_TOKEN_FILE = Path("~/.ray/auth_token")


def prepare() -> None:
    """See that Ray is installed and has a token, and that it reports no usage.

    Raises:
        ConfigError: it is not installed (E545), or would let anybody in (E546).
    """
    if importlib.util.find_spec("ray") is None:
        hint = "pip install 'epnas-dsl[ray]'"
        raise ConfigError("`--ray` needs Ray, which is not installed", code="E545", hint=hint)
    file = os.environ.get("RAY_AUTH_TOKEN_PATH") or _TOKEN_FILE.expanduser()
    has_token = os.environ.get("RAY_AUTH_TOKEN") or Path(file).is_file()
    if os.environ.setdefault("RAY_AUTH_MODE", "token").lower() != "token" or not has_token:
        raise ConfigError(
            "Ray runs whatever reaches its ports; without a token it is not used",
            code="E546",
            hint="on every machine RAY_AUTH_MODE=token, and the token of `ray get-auth-token "
            "--generate` in RAY_AUTH_TOKEN_PATH, before `ray start`",
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


class RayExecutor(Executor):
    """So many workers on a cluster, each with an evaluator of its own.

    Workers that the cluster has no room for wait until it has: machines may join and leave. A
    worker that dies, with its machine or alone, costs nothing but time, for its task is given to
    another one; a task given out `ATTEMPTS` times in vain has failed.

    Args:
        factory: makes an evaluator; pickled, so what it names must be installed everywhere.
        address: of the cluster, `HOST:PORT`, or `auto`: the one that this machine belongs to.
        workers: how many tasks are carried out at a time, if there is room.
        cpus: cores of a worker.
        gpus: whether each worker takes a GPU, if the cluster has any.
        lease: seconds for a task; a worker that keeps it for longer is ended. 0 for no end.

    Raises:
        ConfigError: there is no cluster at the address (E545), or it refuses the token (E546).
    """

    together = False

    def __init__(
        self,
        factory: Factory,
        address: str,
        workers: int,
        cpus: int = 1,
        gpus: bool = False,
        lease: float = 0,
    ) -> None:
        prepare()
        self.workers, self._lease = workers, lease or math.inf
        self._ray = _connect(address)
        # Ray prints what befalls its machines to standard output, which is for results.
        self._closing = contextlib.ExitStack()
        self._closing.enter_context(contextlib.redirect_stdout(sys.stderr))
        self._closing.callback(self._ray.shutdown)
        has_gpus = gpus and self._ray.cluster_resources().get("GPU", 0) >= 1
        self._kind = self._ray.remote(num_cpus=cpus, num_gpus=int(has_gpus), max_restarts=0)(
            _Worker
        )
        self._factory = self._ray.put(factory)
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}  # the worker of each sign of life that is awaited

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """The outcomes, each as soon as it is there.

        Raises:
            EpnasError: a worker can make no evaluator, or its settings are wrong.
        """
        queue, attempts = deque(tasks), Counter[int]()
        busy: dict[Any, _Lent] = {}
        while queue or busy:
            self._hire(min(self.workers, len(queue) + len(busy)) - len(busy))
            while queue and self._idle:
                worker, task = self._idle.pop(), queue.popleft()
                lent = _Lent(worker, task, time.time(), time.monotonic() + self._lease)
                busy[worker.evaluate.remote(*task)] = lent
            for reference in self._settled(busy):
                if reference in self._starting:
                    self._greet(reference)
                    continue
                lent = busy.pop(reference)
                found = self._answer(reference, lent)
                if isinstance(found, Outcome):
                    yield found
                elif isinstance(found, EpnasError):
                    raise found
                else:
                    number = lent.task[0]
                    attempts[number] += 1
                    if attempts[number] < ATTEMPTS:
                        queue.appendleft(lent.task)
                    else:
                        message = f"{found}, {ATTEMPTS} times"
                        yield Outcome(number, {}, message, lent.started, time.time())

    def share(self, weights: bytes) -> Callable[[], bytes]:
        """Lay weights out in the cluster; each machine fetches them once."""
        return partial(_fetch, self._ray.put(weights))

    def close(self) -> None:
        """End the workers at once, and leave the cluster; a later task needs a new executor."""
        self._closing.close()
        self._idle, self._starting = [], {}

    def _hire(self, needed: int) -> None:
        """Have so many workers, counting those that are idle or on their way."""
        for _ in range(needed - len(self._idle) - len(self._starting)):
            worker = self._kind.remote(self._factory)
            self._starting[worker.greet.remote()] = worker

    def _settled(self, busy: dict[Any, _Lent]) -> list[Any]:
        """Wait for some worker; what is ready, or has been lent for too long."""
        deadline = min((lent.deadline for lent in busy.values()), default=math.inf)
        left = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        ready, waiting = self._ray.wait([*busy, *self._starting], num_returns=1, timeout=left)
        now = time.monotonic()
        return [*ready, *(r for r in waiting if r in busy and busy[r].deadline <= now)]

    def _answer(self, reference: Any, lent: _Lent) -> Outcome | EpnasError | str:
        """What a worker has to say; a text if it has nothing to say any more."""
        found: Outcome | EpnasError
        try:
            with self._deaths(lent.worker) as deaths:
                late = time.monotonic() >= lent.deadline
                found = self._ray.get(reference, timeout=0 if late else None)
        except self._ray.exceptions.GetTimeoutError:
            self._ray.kill(lent.worker)
            return f"it took longer than the {self._lease:g} s of evaluation.timeout"
        if deaths:
            return "the worker that evaluated it died, perhaps for want of memory"
        self._idle.append(lent.worker)
        return found

    def _greet(self, reference: Any) -> None:
        """Take a worker on that has come; one that died on its way is hired again."""
        worker = self._starting.pop(reference)
        with self._deaths(worker) as deaths:
            self._ray.get(reference)
        if not deaths:
            self._idle.append(worker)

    @contextlib.contextmanager
    def _deaths(self, worker: Any) -> Iterator[list[Exception]]:
        """Collect the errors that say that a worker, or the machine that it was on, is gone.

        It may only be out of reach, so it is ended as well: nobody will ask it again.
        """
        kinds = self._ray.exceptions
        found: list[Exception] = []
        try:
            yield found
        except (kinds.RayActorError, kinds.ObjectLostError, kinds.NodeDiedError) as error:
            logging.getLogger(__name__).info("a worker is gone: %s", error)
            found.append(error)
            self._ray.kill(worker)


@dataclass(frozen=True, slots=True)
class _Lent:
    """A task that a worker has, since when, and until when by the clock of `time.monotonic`."""

    worker: Any
    task: Task
    started: float
    deadline: float


class _Worker:
    """One worker: an actor's process on some machine."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._evaluator: Evaluator | None = None

    def greet(self) -> None:
        """Show that the process is up."""

    def evaluate(self, number: int, architecture: Any) -> Outcome | EpnasError:
        """The outcome, or what makes any other task vain as well."""
        try:
            if self._evaluator is None:
                self._evaluator = self._factory()
            return measure(self._evaluator, number, architecture)
        except EpnasError as error:
            return error


def _connect(address: str) -> Any:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ray.exceptions.AuthenticationError as error:
        message = f"the Ray cluster at `{address}` refuses the token"
        raise ConfigError(message, code="E546", hint="use the one it began with") from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        hint = "start it with `ray start --head`, and run the search on one of its machines"
        message = f"no Ray cluster at `{address}`: {reason}"
        raise ConfigError(message, code="E545", hint=hint) from error
    return ray


def _fetch(reference: Any) -> Any:
    import ray

    return ray.get(reference)
