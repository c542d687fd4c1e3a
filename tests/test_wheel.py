"""The wheel is whole: installed into an empty place, it checks, counts and draws by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SPACES = sorted(path.stem for path in (ROOT / "spaces").glob("*.space"))


def call(*command: str | Path, cwd: Path) -> str:
    """Run a command away from the checkout; its standard output."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=clean, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by way of the source archive, so that this one is known to be whole too."""
    out = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    assert len(list(out.glob("*.tar.gz"))) == 1
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel; other packages are read from this one's."""
    folder = tmp_path_factory.mktemp("empty") / "env"
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    programs = folder / "bin"
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    call(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder.parent)
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(call(programs / "python", "-c", purelib, cwd=folder).strip())
    # A plain path: the .pth files there, and with them the editable install, are not followed.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_it_carries_everything_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    tracked = subprocess.run(
        ["git", "ls-files", "epnas_dsl", "grammars", "spaces"],
        cwd=ROOT, text=True, capture_output=True, check=True,
    ).stdout.split()  # fmt: skip
    expected = {f if f.startswith("epnas_dsl/") else f"epnas_dsl/{f}" for f in tracked}
    assert names == expected
    assert licences


def test_the_package_comes_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    code = "import epnas_dsl, torch; print(epnas_dsl.__file__)"
    place = call(environment / "python", "-c", code, cwd=tmp_path).strip()
    assert Path(place).is_relative_to(environment.parent)


@pytest.mark.parametrize("space", SPACES)
def test_a_built_in_space_checks_and_draws(environment: Path, space: str, tmp_path: Path) -> None:
    code = f"import epnas_dsl; print(epnas_dsl.__path__[0] + '/spaces/{space}.space')"
    file = call(environment / "python", "-c", code, cwd=tmp_path).strip()
    call(environment / "epnas", "check", file, cwd=tmp_path)
    call(environment / "epnas", "draw", space, "-o", "picture.svg", cwd=tmp_path)
    assert "<svg" in (tmp_path / "picture.svg").read_text(encoding="utf-8")


def test_it_counts(environment: Path, tmp_path: Path) -> None:
    assert "146435169081600" in call(
        environment / "epnas", "count", "micro", "--json", cwd=tmp_path
    )


def test_it_explains(environment: Path, tmp_path: Path) -> None:
    assert "E910" in call(environment / "epnas", "explain", "E910", cwd=tmp_path)
