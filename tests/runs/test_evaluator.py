import gzip
from functools import partial

import pytest

from epnas_dsl.errors import DataError
from epnas_dsl.lang.loading import load_architecture, load_space
from epnas_dsl.lang.notations import read_nasbench201
from epnas_dsl.runs.evaluator import TabularEvaluator
from epnas_dsl.space.architecture import Architecture

SKIP = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
POOL = "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
LATE = "|none~0|+|avg_pool_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"
TABLE = f"arch,valid,test,name\n{SKIP},40,50,a\n{POOL},60,70.5,b\n{LATE},80,80,c\n"


@pytest.fixture(scope="module")
def space():
    return load_space("nasbench201")


@pytest.fixture
def table(tmp_path, space):
    def make(text, metric="valid", report=(), name="t.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
        return TabularEvaluator(path, metric, report, partial(read_nasbench201, space=space))

    return make


def test_its_own_row_comes_first(table, space):
    evaluator = table(TABLE)
    found = evaluator.evaluate(read_nasbench201(POOL, space), 0)
    assert found == {"valid": 60, "test": 70.5, "accuracy": 0.6}
    assert "alike" not in vars(evaluator)  # the keys of all rows were not needed


def test_several_rows_of_one_architecture_are_averaged(table, space):
    found = table(f"{TABLE}{POOL},20,30,d\n").evaluate(read_nasbench201(POOL, space), 0)
    assert found == {"valid": 40, "test": 50.25, "accuracy": 0.4}


def test_without_a_row_the_mean_of_the_equal_ones(table, space):
    low = load_architecture("nasbench201: h1 = avg_pool_3x3(h0)", space)
    assert (low.level, space.depth) == (1, 3)
    found = table(TABLE, name="t.csv.gz").evaluate(low, 3)
    assert found == {"valid": 70, "test": 75.25, "accuracy": 0.7}


def test_chosen_columns_and_shares(table, space):
    evaluator = table(f"arch,valid,test\n{SKIP},0.4,1.5\n", "valid", ["test"])
    architecture = read_nasbench201(SKIP, space)
    assert evaluator.evaluate(architecture, 0) == {"accuracy": 0.4, "test": 1.5}


def test_our_own_notation(tmp_path, space):
    text = (
        "nasbench201: h1 = none(h0); h2 = none(h0) + none(h1); h3 = none(h0) + none(h1) + none(h2)"
    )
    path = tmp_path / "t.csv"
    path.write_text(f'arch,valid\n"{text}",0.1\n')
    evaluator = TabularEvaluator(path, "valid", (), partial(load_architecture, space=space))
    assert evaluator.evaluate(Architecture(space, [0]), 0)["accuracy"] == 0.1


def test_an_unknown_architecture(table, space):
    with pytest.raises(DataError, match="has no row for `nasbench201: ") as error:
        table(TABLE).evaluate(Architecture(space, [3]), 0)
    assert error.value.diagnostics[0].code == "E654"


BAD = {
    "empty": ("", "E650", "is empty"),
    "header only": ("arch,valid\n", "E650", "has no rows"),
    "quote": (f'arch,valid\n{SKIP},"4', "E650", ":2:1: error E650: this is not CSV"),
    "no arch": ("architecture,valid\na,1\n", "E651", ":1:1: error E651: .*`arch`"),
    "no metric": ("arch,valid_12\na,1\n", "E651", "did you mean `valid_12`"),
    "far name": ("arch,x\na,1\n", "E651", "it has arch, x"),
    "text": (f"arch,valid\n{SKIP},good\n", "E652", r":2:\d+: error E652: `good` in the column"),
    "nan": (f"arch,valid\n{SKIP},nan\n", "E652", "`nan`"),
    "hole": (f"arch,valid\n{SKIP},\n", "E652", ":2:1: "),
    "long row": (f"arch,valid\n\n{SKIP},1,2\n", "E652", ":3:1: .*3 cells; the header has 2"),
    "short": (f"arch,valid\n{SKIP}\n", "E652", "1 cells"),
    "not an arch": (f"arch,valid\n{SKIP},4\nmicro: h,4\n", "E653", ":3:1: error E653: .*no arch"),
    "loss": (f"arch,valid\n{SKIP},-2\n", "E655", r":2:\d+: error E655: `valid` is -2"),
    "large": (f"arch,valid\n{SKIP},101\n", "E655", "`valid` is 101"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables(table, name):
    text, code, message = BAD[name]
    with pytest.raises(DataError) as error:
        table(text)
    assert error.value.diagnostics[0].code == code
    assert pytest.importorskip("re").search(message, str(error.value)), str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "t.csv.gz"
    contents = [None, b"arch,valid\n", gzip.compress(b"arch,valid\n" * 99)[:-9], b"\xff\xfe"]
    for content in contents:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match="cannot read the table") as error:
            TabularEvaluator(path, "valid", (), str)
        assert error.value.diagnostics[0].code == "E650"


@pytest.mark.slow
def test_nasbench201_whole(shared_data, space):
    path = shared_data("nasbench201.csv.gz")
    read = partial(read_nasbench201, space=space)
    evaluator = TabularEvaluator(path, "cifar10_valid_12ep", (), read)
    assert len(evaluator._rows) == 15_625
    assert len(evaluator.alike) == 5_260
    assert evaluator.evaluate(Architecture(space, [0]), 0)["accuracy"] > 0.05
