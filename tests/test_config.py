import pytest

from epnas_dsl.config import FAST, Config, dump_toml, load_config, override, preset
from epnas_dsl.errors import ConfigError


def messages(error):
    return [(d.code, str(d.span), d.message, d.hint) for d in error.value.diagnostics]


@pytest.fixture
def load(tmp_path):
    def read(text):
        path = tmp_path / "c.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path)

    return read


def test_settings_survive_toml(load):
    config = override(
        Config(),
        [
            "space=micro(blocks=3)",
            'data.name="é \\n \\u007f"',
            "evaluation.report=a, b",
            "training.learning_rate=1e-7",
            "training.channels_last=false",
            "search.seed=2147483647",
        ],
    )
    assert config.evaluation.report == ("a", "b")
    assert load(dump_toml(config)) == config
    assert load(dump_toml(Config())) == load("") == Config()


def test_all_mistakes_of_a_file_at_once(load, tmp_path):
    text = """\
        space = 3
        [search]
        kep = 3
        searcher = "randm"
        kept = 0
        temperature_start = inf
        [trainig]
        x = 1
        [training]
        channels_last = "no"
        [evaluation]
        report = "a"
        """
    with pytest.raises(ConfigError) as error:
        load(text.replace("        ", ""))
    at = f"{tmp_path}/c.toml"
    switch = '`training.channels_last` is `"no"`; expected `true` or `false`'
    heat = "`search.temperature_start` is `inf`; expected a finite number"
    words = "expected one of `epnas`, `pnas`, `random`, `evolution`, `local_search`, `q_learning`"
    words += ", `reinforce`"
    assert messages(error) == [
        ("E513", f"{at}:1:1", "`space` is `3`; expected a text in quotes", ""),
        ("E512", f"{at}:3:1", "unknown setting `search.kep`", "did you mean `search.kept`?"),
        ("E513", f"{at}:4:1", f'`search.searcher` is `"randm"`; {words}', "did you mean `random`?"),
        ("E513", f"{at}:5:1", "`search.kept` is `0`; expected a whole number >= 1", ""),
        ("E513", f"{at}:6:1", heat, ""),
        ("E512", f"{at}:7:2", "unknown setting `trainig`", "did you mean `training`?"),
        ("E513", f"{at}:10:1", switch, ""),
        ("E513", f"{at}:12:1", '`evaluation.report` is `"a"`; expected a list', ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("a = ", "E511", "1:5"),
        ("a = 1\na = 2\n", "E511", "2:6"),
        ("x = [1,\n2", "E511", "2:2"),
        ("[search\n", "E511", "1:8"),
        ("x=" + "[" * 5000, "E511", "1:"),
        ("search = 3", "E513", "1:1"),
        ("search.kept = 0", "E513", "1:1"),
        ("", "E510", ""),
        (b"\xff", "E510", ""),
    ],
)
def test_bad_files(load, tmp_path, text, code, place):
    with pytest.raises(ConfigError) as error:
        load(text) if text else load_config(tmp_path)
    assert error.value.diagnostics[0].code == code
    assert f"c.toml:{place}" in str(error.value) or not place


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("search.kept", "E514", "expected `section.key=value`"),
        ("=3", "E514", "expected"),
        ("kept=3", "E512", "did you mean `search.kept`?"),
        ("search=3", "E513", "`search` is a section of settings"),
        ("search.keptt=3", "E512", "did you mean `search.kept`?"),
        ("space.x=3", "E512", "unknown setting `space.x`"),
        ("search.kept=many", "E513", '`"many"`; expected a whole number'),
        ("search.kept=1.5", "E513", "expected a whole number"),
        ("search.kept=99999999999999", "E513", "<= 1000000000"),
        ("training.momentum=2", "E513", "expected a number <= 1.0"),
        ("data.flip=maybe", "E513", "expected one of `auto`, `yes`, `no`"),
    ],
)
def test_bad_assignments(text, code, part):
    with pytest.raises(ConfigError) as error:
        override(Config(), ["search.seed=1", text])
    assert error.value.diagnostics[0].code == code
    assert part in str(error.value)
    assert f"--set:1:1: error {code}" in str(error.value)


def test_presets_set_what_they_name_and_leave_the_rest():
    usual = override(Config(), ["search.seed=7", "training.epochs=9"])
    fast = preset(usual, "fast")
    assert (fast.surrogate.loss, fast.search.kept, fast.search.seed) == ("rank", 5, 7)
    lines = zip(dump_toml(usual).splitlines(), dump_toml(fast).splitlines(), strict=True)
    changed = [new.split()[0] for old, new in lines if old != new]
    assert sorted(changed) == sorted(name.partition(".")[2] for name in FAST)
    assert preset(fast, "paper") == override(usual, ["search.random_arm=0"])
