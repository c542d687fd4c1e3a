"""A tiny search without networks: it depends on every result, and its evaluator has state."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

from epnas_dsl.errors import ConfigError

MODULUS = 2**31 - 1


@dataclass(frozen=True)
class FakeArchitecture:
    text: str
    level: int

    def __str__(self):
        return self.text

    @property
    def id(self):
        return f"{hash_of(self.text):08x}"

    @property
    def key(self):
        return self.text


@dataclass(frozen=True)
class FakeProgress:
    iteration: int
    level: int
    step: int
    steps: int
    trials: int
    total: int
    note: str = ""


def hash_of(text):
    value = 7
    for character in text:
        value = (value * 31 + ord(character)) % MODULUS
    return value


class FakeSearcher:
    """Steps of `kept` architectures; each step is drawn from all that was told before it."""

    def __init__(self, steps=4, kept=5, seed=0):
        self.steps, self.kept, self.seed = steps, kept, seed
        self.told = []
        self.asked = 0

    def ask(self, n):
        step, done = divmod(self.asked, self.kept)
        if step == self.steps:
            return []
        before = self.told[: step * self.kept]
        draw = random.Random(hash_of(json.dumps([self.seed, before])))
        names = [f"fake: h{step + 1} = op_{draw.randrange(10**6)}" for _ in range(self.kept)]
        taken = names[done : done + n]
        self.asked += len(taken)
        return [FakeArchitecture(name, step + 1) for name in taken]

    def tell(self, architecture, metrics):
        self.told.append([str(architecture), metrics and metrics["accuracy"]])

    def note(self, architecture):
        return {"iteration": 1, "level": architecture.level, "predicted": 0.5}

    @property
    def progress(self):
        step = len(self.told) // self.kept
        return FakeProgress(1, step + 1, step, self.steps, len(self.told), self.steps * self.kept)


class FakeEvaluator:
    """Its weights are all that it was ever trained on; some architectures fail half-way."""

    def __init__(self, seconds=0.0, failing=(), noise=False):
        self.weights = [1]
        self.seconds, self.failing, self.noise = seconds, failing, noise

    def evaluate(self, architecture, number):
        self.weights.append((self.weights[-1] * 31 + hash_of(str(architecture)) + number) % MODULUS)
        time.sleep(self.seconds)
        self.weights[-1] += self.noise
        if number in self.failing:
            raise ValueError("the loss is nan")
        return {"accuracy": self.weights[-1] / MODULUS, "loss": len(self.weights)}

    def save(self, path):
        path.write_text(json.dumps(self.weights))

    def load(self, path):
        self.weights = json.loads(Path(path).read_text())


class PlainEvaluator:
    """Has no state; fails, dies or refuses where its settings say so."""

    def __init__(self, fail=(), die=(), refuse=(), seconds=0.0):
        self.fail, self.die, self.refuse, self.seconds = fail, die, refuse, seconds

    def evaluate(self, architecture, number):
        time.sleep(self.seconds)
        if number in self.fail:
            raise MemoryError("too large")
        if number in self.die:
            import os

            os._exit(9)
        if number in self.refuse:
            raise ConfigError("no such device", code="E513")
        return {"accuracy": (hash_of(str(architecture)) + number) % 1000 / 1000}

    def save(self, path):
        pass

    def load(self, path):
        pass
