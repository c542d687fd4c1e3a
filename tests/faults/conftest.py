"""What the tests of faults share: a shop in which runs are made with a fault in each."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "runs")]  # for shop.py and fakes.py

from runs_of_the_shop import content  # noqa: E402
from shop import KEPT, STEPS  # noqa: E402


class Shop:
    """Makes runs; see shop.py."""

    def __init__(self, shim: Path) -> None:
        environment = {**os.environ, "LD_PRELOAD": str(shim)}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "shop.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __call__(self, folder: Path, **order: object) -> dict:
        return self.several(folder, **order)[0]

    def several(self, folder: Path, **order: object) -> list[dict]:
        self.process.stdin.write(json.dumps({"folder": str(folder), **order}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    compiler = shutil.which("cc")
    if not compiler or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler")
    shim = tmp_path_factory.mktemp("shim") / "boundaries.so"
    source = str(HERE / "boundaries.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), source, "-ldl"], check=True
    )
    shop = Shop(shim)
    yield shop
    shop.close()


@pytest.fixture(scope="session")
def memory():
    """A folder in memory where there is one: a process that is killed leaves the same behind."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="epnas-") as path:
        yield Path(path)


@pytest.fixture
def ram(memory):
    """A new folder in it."""
    with tempfile.TemporaryDirectory(dir=memory) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def whole(shop, memory):
    """An unbroken run: its content, the calls that made it, and its files."""
    folder = memory / "whole"
    told = shop(folder)
    assert (told["status"], len(content(folder)[0])) == (0, STEPS * KEPT), told["text"]
    return content(folder), told["calls"], sorted(os.listdir(folder))
