import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from epnas_dsl.config import Config, override
from epnas_dsl.errors import RunError
from epnas_dsl.files import write_whole
from epnas_dsl.runs import database
from epnas_dsl.runs.store import Store, create
from epnas_dsl.runs.trial import Trial, best


def trial(number, accuracy=0.5, **rest):
    given = {"number": number, "architecture": f"fake: é{number}", "id": "1", "key": "k"}
    return Trial(**given, level=1, metrics={"accuracy": accuracy}, **rest)


def code(error):
    return error.value.diagnostics[0].code


def close(store):
    store.close()
    return store.path


def test_trials_come_back_as_they_went_in(store):
    records = [
        trial(0, 0.1 + 0.2, notes={"predicted": 1 / 3}, started=1.5, ended=2.75),
        Trial(number=1, architecture="b", id="2", key="c", level=2, state="failed", message="nan"),
    ]
    for record in records:
        store.append(record)
    assert store.trials() == records
    with Store(store.path) as reader:
        assert reader.trials() == records
        assert reader.parameters == {"blocks": 3}
        assert (reader.space_text, reader.space_digest) == ("space fake()", "digest")
    assert records[0].seconds == 1.25


def test_the_settings_travel_with_the_run(tmp_path):
    config = override(Config(), ["search.kept=3", "data.name=imagefolder:/a b"])
    with create(tmp_path / "a/b/run", config, "") as store:
        assert store.config == config


def test_a_closed_run_is_one_database_file_and_can_be_moved(store, tmp_path):
    store.append(trial(0))
    path = close(store)
    assert sorted(p.name for p in path.glob("run.db*")) == ["run.db"]
    shutil.move(path, tmp_path / "elsewhere")
    with Store(tmp_path / "elsewhere", writing=True) as moved:
        moved.append(trial(1))
        assert len(moved.trials()) == 2


def test_a_number_is_recorded_once(store):
    store.append(trial(0))
    with pytest.raises(sqlite3.IntegrityError):
        store.append(trial(0))
    assert len(store.trials()) == 1


def test_one_writer_and_many_readers(store):
    with pytest.raises(RunError, match=f"process {os.getpid()} on ") as error:
        Store(store.path, writing=True)
    assert code(error) == "E703"
    with Store(store.path) as one, Store(store.path) as other:
        store.append(trial(0))
        assert len(one.trials()) == len(other.trials()) == 1
    with Store(close(store), writing=True):
        pass


def test_a_log_left_by_a_crash_is_read_without_the_right_to_write(tmp_path, monkeypatch):
    script = (
        "import os, sys; from epnas_dsl.config import Config; from epnas_dsl.runs.store import *\n"
        "s = create(sys.argv[1], Config(), '')\n"
        "s.append(Trial(number=0, architecture='a', id='i', key='k', level=1)); os._exit(9)"
    )
    path = tmp_path / "run"
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == 9
    assert (path / "run.db-wal").stat().st_size > 0
    connect, seen = sqlite3.connect, []

    def refuse(name, **options):
        seen.append(name)
        if options.get("uri"):
            raise sqlite3.OperationalError("unable to open database file")
        return connect(name, **options)

    monkeypatch.setattr(database.sqlite3, "connect", refuse)
    with Store(path) as store:
        assert len(store.trials()) == 1
    assert len(seen) == 2


@pytest.mark.parametrize("what", ["run", "full", "file"])
def test_nothing_that_is_there_is_overwritten(tmp_path, store, what):
    path = close(store)
    if what != "run":
        path = tmp_path / "there"
        path.mkdir() if what == "full" else path.write_text("mine")
    if what == "full":
        (path / "config.toml").write_text("mine")
    with pytest.raises(RunError) as error:
        create(path, Config(), "")
    assert code(error) == "E701"
    if what == "full":
        assert [(p.name, p.read_text()) for p in path.iterdir()] == [("config.toml", "mine")]


def test_a_start_that_was_cut_short_is_begun_anew(tmp_path, monkeypatch):
    path = tmp_path / "run"
    path.mkdir()
    (path / "run.lock.holder").write_text("half")
    monkeypatch.setattr(database, "write_facts", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        create(path, Config(), "one")
    with pytest.raises(RunError) as error:
        Store(path)
    assert code(error) == "E702"
    monkeypatch.undo()
    with create(path, Config(), "two") as store:
        assert store.space_text == "two"


@pytest.mark.parametrize("what", ["nothing", "empty", "other", "stranger"])
def test_what_is_no_run_folder(tmp_path, what):
    path = tmp_path / "run"
    if what != "nothing":
        path.mkdir()
    if what == "other":
        (path / "x").write_text("")
    if what == "stranger":
        sqlite3.connect(path / "run.db").execute("CREATE TABLE t (x)").connection.close()
    for writing in (False, True):
        with pytest.raises(RunError) as error:
            Store(path, writing=writing)
        assert code(error) == "E702"


@pytest.mark.parametrize("name", ["config.toml", "search.space"])
@pytest.mark.parametrize("change", ["changed", "missing"])
def test_settings_and_space_do_not_change(store, name, change):
    path = close(store)
    (path / name).unlink() if change == "missing" else (path / name).write_text("seed = 2")
    with pytest.raises(RunError, match=f"{name}` (has changed|is missing)") as error:
        Store(path)
    assert code(error) == "E704"


@pytest.mark.parametrize("damage", ["rubbish", "hole", "short", "no table"])
@pytest.mark.parametrize("writing", [False, True])
def test_a_damaged_database(store, damage, writing):
    for number in range(60):
        store.append(trial(number))
    file = close(store) / "run.db"
    data = file.read_bytes()
    if damage == "no table":
        sqlite3.connect(file).execute("DROP TABLE trials").connection.close()
    else:
        hole = data[:4096] + os.urandom(8192) + data[12288:]
        file.write_bytes({"rubbish": b"x" * 5000, "short": data[:6000], "hole": hole}[damage])
    before = file.read_bytes()
    with pytest.raises(RunError) as error, Store(file.parent, writing=writing) as opened:
        opened.trials()
    assert code(error) == "E704"
    assert file.read_bytes()[100:] == before[100:]


def test_another_version(store):
    path = close(store)
    with sqlite3.connect(path / "run.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RunError, match="has version 99") as error:
        Store(path)
    assert code(error) == "E705"


def test_a_full_disk_keeps_what_was_recorded(store):
    store.append(trial(0))
    store._database.execute("PRAGMA max_page_count = 6")
    number = 1
    with contextlib.suppress(RunError):
        while store.append(trial(number)) is None:
            number += 1
    with pytest.raises(RunError, match="no room left") as error:
        store.append(trial(number))
    assert code(error) == "E706"
    with Store(close(store), writing=True) as again:
        assert [t.number for t in again.trials()] == list(range(number))


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, "E706"), (errno.EROFS, "E707"), (errno.EACCES, "E707"), (errno.EIO, "E704")],
)
def test_a_checkpoint_that_cannot_be_written(store, number, expected):
    def save(path):
        path.write_text("half")
        raise OSError(number, os.strerror(number), str(path))

    with pytest.raises(RunError) as error:
        store.save_checkpoint(0, save)
    assert code(error) == expected
    assert list((store.path / "checkpoints").iterdir()) == []


def test_checkpoints_are_kept_found_whole_and_cleared(store):
    records = []
    for number in range(4):
        name, digest = store.save_checkpoint(number, lambda p, n=number: p.write_text(str(n)))
        records.append(trial(number, checkpoint=name, digest=digest))
        store.append(records[-1])
    assert store.checkpoint(records[3]).read_text() == "3"
    folder = store.path / "checkpoints"
    assert sorted(os.listdir(folder)) == ["000002.ckpt", "000003.ckpt"]
    store.save_checkpoint(4, lambda p: p.write_text("an orphan"))
    (folder / "000005.ckpt.77.partial").write_text("half")
    with Store(close(store), writing=True):
        assert sorted(os.listdir(folder)) == ["000002.ckpt", "000003.ckpt"]
    (folder / "000003.ckpt").write_text("4")
    with Store(store.path, writing=True) as again:
        with pytest.raises(RunError, match="has changed") as error:
            again.checkpoint(records[3])
        assert code(error) == "E709"
        (folder / "000003.ckpt").unlink()
        with pytest.raises(RunError, match="is missing"):
            again.checkpoint(records[3])
        assert len(again.trials()) == 4


def test_no_state_no_checkpoint(store):
    assert store.save_checkpoint(0, lambda path: None) == ("", "")
    assert store.checkpoint(trial(0)) is None


def test_files_are_whole_or_absent(tmp_path):
    path = tmp_path / "best.arch"
    write_whole(path, b"old")
    with pytest.raises(ZeroDivisionError):
        write_whole(path, lambda p: p.write_text("new") / 0)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("best.arch", b"old")]


def test_best_is_the_first_of_the_highest():
    failed = Trial(number=0, architecture="a", id="", key="", level=1, state="failed")
    assert best([failed]) is None
    assert best([failed, trial(1, 0.0), trial(2, 0.7), trial(3, 0.7)]).number == 2
