"""Turn a training step into one launch: its kernels are recorded once and replayed at every step.

A step is a function of tensors that returns nothing and keeps all that it knows in tensors that
stay where they are. Where nothing can record, the function itself is the step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from epnas_dsl.config import TrainingSettings

_log = logging.getLogger(__name__)

Step = Callable[[Tensor, Tensor], None]


class Recorder(Protocol):
    """Runs a function once in earnest, then records it."""

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function where it will be recorded: libraries get ready, random numbers too.

        The state of the global random generators is that of before.
        """

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """What does again to the same memory what the function would; it's not done yet.

        Raises:
            RuntimeError: the function does what cannot be recorded.
        """


class GraphStep:
    """Replays what a function did to inputs of the same shapes; records it for new shapes.

    Args:
        function: reads its inputs and changes `state`, nothing else that a replay would miss.
        recorder: records it.
        state: every tensor that the function changes; a warm-up leaves them as they were.
    """

    def __init__(self, function: Step, recorder: Recorder, state: Sequence[Tensor]) -> None:
        self._function, self._recorder, self._state = function, recorder, tuple(state)
        self._recorded: dict[torch.Size, tuple[Tensor, Tensor, Callable[[], None]]] = {}

    def __call__(self, first: Tensor, second: Tensor) -> None:
        """Do the step; the first input's shape tells that of the second."""
        if first.shape not in self._recorded:
            self._recorded[first.shape] = self._record(first.clone(), second.clone())
        given_first, given_second, replay = self._recorded[first.shape]
        given_first.copy_(first)
        given_second.copy_(second)
        replay()

    def _record(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Callable[[], None]]:
        def run() -> None:
            self._function(first, second)

        before = [tensor.detach().clone() for tensor in self._state]
        try:
            self._recorder.warm_up(run)
        finally:
            with torch.no_grad():
                for tensor, value in zip(self._state, before, strict=True):
                    tensor.copy_(value)
        try:
            return first, second, self._recorder.record(run)
        except RuntimeError as error:
            _fall_back(f"a step could not be recorded ({str(error).splitlines()[0]})")
            return first, second, run


class CudaRecorder:
    """Records CUDA graphs on one stream, in one pool of memory that all of them share.

    They may share it because they run one after the other on one stream and none reads what
    another one has left there. The pool lives as long as some graph uses it, so an idle one that
    belongs to the recorder does; otherwise the pool would go with the first network.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        self._idle = self._capture(lambda: torch.zeros((), device=device).zero_())

    def warm_up(self, function: Callable[[], None]) -> None:
        """On the stream of the recording, as PyTorch's notes on CUDA graphs ask for."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            with torch.random.fork_rng(devices=[self._device]), torch.cuda.stream(self._stream):
                function()
        finally:
            current.wait_stream(self._stream)

    def record(self, function: Callable[[], object]) -> Callable[[], None]:
        """The replay of a CUDA graph; the graph lives as long as that."""
        try:
            return self._capture(function)
        except RuntimeError:
            # In some versions of torch its pool takes no other, and the random generator stays in
            # the middle of it until a recording ends well, as the idle one of the next recorder
            # does. It has to remain the same generator: graphs from before draw from it.
            cuda_recorder.cache_clear()
            cuda_recorder(self._device)
            raise

    def _capture(self, function: Callable[[], object]) -> Callable[[], None]:
        graph, stream = torch.cuda.CUDAGraph(), self._stream
        # One that breaks off does not leave its stream by itself.
        with torch.cuda.stream(stream), torch.cuda.graph(graph, self._pool, stream):
            function()
        return graph.replay


cuda_recorder = lru_cache(CudaRecorder)  # without it, its pool goes with the last graph


def recorder_for(
    settings: TrainingSettings, device: torch.device, processes: int = 1
) -> Recorder | None:
    """What records steps on a device; None: nothing does, and the log says why if asked for.

    Args:
        processes: that train together; they talk within a step, which is not recorded.
    """
    if settings.cuda_graphs == "no":
        return None
    if device.type != "cuda":
        if settings.cuda_graphs == "yes":
            _fall_back(f"there are no CUDA graphs on `{device.type}`")
        return None
    if processes > 1:
        _fall_back(f"{processes} processes train together")
        return None
    try:
        return cuda_recorder(device)
    except RuntimeError as error:
        _fall_back(str(error).splitlines()[0])
        return None


@lru_cache
def _fall_back(reason: str) -> None:
    """Say a reason once."""
    _log.warning("without CUDA graphs: %s", reason)
