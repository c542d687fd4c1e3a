"""What each construct of the language means, on small spaces."""

import numpy as np
import pytest

from epnas_dsl.errors import EpnasError
from epnas_dsl.lang import check, load_architecture, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.counting import count_raw, count_unique, count_unordered
from epnas_dsl.space.expansion import enumerate_level, sample
from epnas_dsl.space.graph import to_graph, to_layers, to_network
from epnas_dsl.space.measures import measures
from epnas_dsl.space.nodes import Node, nodes
from epnas_dsl.space.search_space import SearchSpace

HEAD = "linear(global_avg_pool(x), 10)"


def network(body: str, before: str = "", head: str = "space s") -> SearchSpace:
    return read_space(f"{head}\n{before}\nnetwork (image) {{\n{body}\nreturn {HEAD} }}")


def first(space: SearchSpace) -> Architecture:
    return next(enumerate_level(space, space.depth))


def network_nodes(architecture: Architecture) -> dict[str, Node]:
    return {n.name: n for n in nodes(to_network(architecture))}


def texts(space: SearchSpace) -> list[str]:
    return [str(a).partition(": ")[2] for a in enumerate_level(space, space.depth)]


def test_every_use_of_a_production_is_a_decision_of_its_own() -> None:
    space = network("x = op(op(image, channels=4))", "op := conv_3x3 | conv_5x5")
    assert count_raw(space) == 4
    assert len(space.decisions) == 2


def test_alternatives_of_an_argument() -> None:
    space = network("x = conv(image, kernel = 3|5, channels = 4|8|16)")
    assert [d.size for d in space.decisions] == [2, 3]
    assert texts(space)[-1] == "x = conv(image, kernel=5, channels=16)"


def test_nested_alternatives_are_one_decision_of_their_sum() -> None:
    space = network(
        "x = conv_3x3(image, 8)\n x = op(x)",
        "op := mbconv(kernel = 3|5, expand = 3|6) | skip_connect | pool\n"
        "pool := max_pool_3x3 | avg_pool(3|5)",
    )
    assert [d.size for d in space.decisions] == [4 + 1 + 1 + 2]
    assert "x = avg_pool(x, kernel=5)" in texts(space)


@pytest.mark.parametrize(("quantity", "count"), [("any", 8), ("some", 7), ("2", 3), ("3", 1)])
def test_subsets(quantity: str, count: int) -> None:
    body = f"""h[0] = conv_3x3(image, 4)
        h[1] = conv_3x3(h[0])
        h[2] = conv_3x3(h[1])
        x = concat(image, {quantity} of [h[0..2]])"""
    assert count_raw(network(body)) == count


def test_a_comprehension_over_a_subset_uses_its_body_once_for_each_element() -> None:
    before = """op := conv_3x3 | conv_5x5
        cell c (a, b) {{ h[1] = sum(op(s) for s in {} of [a, b])
            return concat(unused(h)) }}"""
    body = "x = stack(conv_3x3(image, 4), [c])"
    assert count_raw(network(body, before.format(2))) == 4
    assert count_raw(network(body, before.format("some"))) == 2 + 2 + 4
    space = network(body, before.format("some"))
    assert "h1 = conv_5x5(a) + conv_3x3(b)" in texts(space)


def test_one_choice_given_to_a_function_is_one_decision_used_twice() -> None:
    space = network(
        "x = block(image, k = 3|5)",
        "def block(x, k) { y = conv(x, k, 8)\n return conv(y, k, 8) }",
    )
    assert count_raw(space) == 2
    kernels = [layer["kernel_h"] for layer in to_layers(to_network(Architecture(space, [1])))
               if layer.kind == "conv"]  # fmt: skip
    assert kernels == [5, 5]


def test_a_function_with_choices_shows_them_in_braces() -> None:
    space = network(
        "x = block(image)\n x = block(x)",
        "op := conv_3x3 | conv_5x5\ndef block(x) { y = op(x, channels=4)\n return op(y) }",
    )
    assert count_raw(space) == 16
    text = texts(space)[1]
    assert "x = block(x) { y = conv_3x3(x, channels=4); return conv_5x5(y) }" in text
    for architecture in enumerate_level(space, 1):
        assert load_architecture(str(architecture), space) == architecture


def test_loops_arithmetic_and_conditions() -> None:
    body = """for i in 1..3 {
            x = conv_3x3(x, 2^i + min(1, i - 1), stride = 1 if i < 3 else 2)
        }
        for c in [5, 7] { x = conv_3x3(x, c*n) }"""
    space = network(f"x = conv_3x3(image, 7 // 2 % 2)\n{body}", head="space s(n=2)")
    found = [n for n in network_nodes(first(space)).values() if n.operation == "conv_3x3"]
    assert [n.channels for n in found] == [1, 2, 5, 9, 10, 14]
    assert [n.scale for n in found] == [1, 1, 1, 2, 2, 2]


def test_parameters_are_set_from_outside() -> None:
    text = f"space s(c=4, d=c*2)\nnetwork (image) {{ x = conv_3x3(image, d)\n return {HEAD} }}"
    assert network_nodes(first(read_space(text)))["x"].channels == 8
    space = read_space(text, c=3)
    assert network_nodes(first(space))["x"].channels == 6
    assert str(first(space)) == "s(c=3):"


CELL = """op := conv_3x3 | max_pool_3x3
cell normal, reduction/2 (prev2, prev1) {
    level b in 1..2 { h[b] = op(prev1) + op(prev2 | h[1..b-1] | prev1) }
    return concat(unused(h))
}"""


def cells() -> SearchSpace:
    before = CELL.replace("op(prev2 | h[1..b-1] | prev1)", "op(source)").replace(
        "h[b] =", "source := prev2 | h[1..b-1] | prev1\nh[b] ="
    )
    return network("x = stack(conv_3x3(image, 4), [normal, reduction, normal])", before)


def test_a_stride_applies_where_an_operation_reads_an_input_of_the_cell() -> None:
    text = "s: h1 = conv_3x3(prev1) + conv_3x3(prev2); h2 = conv_3x3(prev1) + conv_3x3(h1)"
    found = network_nodes(load_architecture(text, cells()))
    strides = {name: dict(n.settings).get("stride") for name, n in found.items()}
    assert strides["cell2.h1.op1"] == strides["cell2.h1.op2"] == strides["cell2.h2.op1"] == 2
    assert strides["cell2.h2.op2"] == strides["cell1.h1.op1"] == 1


def test_inputs_that_do_not_match_get_one_1x1_convolution_each() -> None:
    text = "s: h1 = conv_3x3(prev1) + conv_3x3(prev2); h2 = conv_3x3(prev1) + conv_3x3(prev2)"
    found = network_nodes(load_architecture(text, cells()))
    made = {n.name: n for n in found.values() if n.instance and n.operation == "conv_1x1"}
    # cell2 has 8 channels: its stride doubles the width; so does joining the two ends of cell1
    assert list(made) == ["cell2.prev2", "cell3.prev1", "cell3.prev2"]
    assert (made["cell3.prev2"].channels, made["cell3.prev2"].scale) == (8, 2)


def test_levels_of_two_cells_go_together_and_every_level_is_whole() -> None:
    space = read_space(
        "space s\nop := conv_3x3 | conv_5x5\n"
        "cell a (p) { level i in 1..3 { h[i] = op(p) } return concat(unused(h)) }\n"
        "cell b (p) { level i in 1..2 { h[i] = op(p) } return last(h) }\n"
        f"network (image) {{ x = stack(conv_3x3(image, 4), [a, b])\n return {HEAD} }}"
    )
    assert [len(row) for row in space.levels] == [2, 2, 1]
    for level in (1, 2, 3):
        architecture = next(enumerate_level(space, level))
        to_layers(to_network(architecture))
        assert load_architecture(str(architecture), space) == architecture


def test_unused_ends_and_the_last_value() -> None:
    space = cells()
    text = "s: h1 = conv_3x3(prev1) + conv_3x3(prev2); h2 = conv_3x3(prev1) + conv_3x3(h1)"
    assert nodes(to_graph(load_architecture(text, space)))[-1].name == "h2"  # h1 is read by h2
    text = text.replace("conv_3x3(h1)", "conv_3x3(prev2)")
    assert nodes(to_graph(load_architecture(text, space)))[-1].inputs == ("h1", "h2")
    macro = network(
        "h[0] = conv_3x3(image, 4)\nlevel l in 1..3 { h[l] = op(h[l-1]) }\nx = last(h)",
        "op := conv_3x3 | conv_5x5",
    )
    assert network_nodes(next(enumerate_level(macro, 2)))["output.op1"].inputs == ("h2",)


def test_a_slice_after_the_levels_has_what_is_there() -> None:
    space = network(
        "level l in 1..3 { h[l] = op(image, channels=4) }\nx = concat(h[1..3])",
        "op := conv_3x3 | conv_5x5",
    )
    for level in (1, 2, 3):
        found = network_nodes(next(enumerate_level(space, level)))
        assert found["x"].channels == 4 * level


def test_dead_code_is_gone_from_the_network() -> None:
    space = network("y = conv_3x3(image, 4)\nx = conv_5x5(image, 4)")
    assert "y" not in network_nodes(first(space))


def test_widths_of_stacks_and_direct_calls() -> None:
    before = "cell c, d/2 (p) { return conv_3x3(p) }"
    space = network("x = stack(conv_3x3(image, 4), [c, d, c], channels=6)", before)
    found = network_nodes(first(space))
    assert [found[f"cell{i}.output"].channels for i in (1, 2, 3)] == [6, 12, 12]
    space = network("x = d(conv_3x3(image, 4), channels=10)", before)
    assert network_nodes(first(space))["cell1.output"].channels == 10


def test_channels_of_a_cell_are_its_width() -> None:
    before = "cell c (p) { return conv_1x1(conv_3x3(p, channels/2), 4*channels) }"
    found = network_nodes(first(network("x = stack(conv_3x3(image, 8), [c])", before)))
    assert found["cell1.output"].channels == 32
    assert found["cell1.output.op1"].channels == 4


def test_sharing_by_input_adds_a_coordinate() -> None:
    text = "s: h1 = conv_3x3(prev1) + conv_3x3(prev2)"
    here = {n.layers[0].key for n in network_nodes(load_architecture(text, cells())).values()
            if n.operation == "conv_3x3"}  # fmt: skip
    assert "cell1/h1/op1/conv_3x3/conv" in here


def test_requirements_bound_what_is_sampled_and_counted() -> None:
    body = "x = conv(image, kernel = 1|3|5, channels = 4|8|16)"
    free = network(body)
    sizes = [measures(a)["params"] for a in enumerate_level(free, 1)]
    bound = sorted(sizes)[4]
    space = network(body, f"require params <= {bound}\nrequire nodes < 100")
    met = sum(size <= bound for size in sizes)
    assert count_unique(space) == met < count_unordered(space) == 9
    drawn = sample(space, 50, np.random.default_rng(0))
    assert all(measures(a)["params"] <= bound for a in drawn)
    assert len(set(drawn)) == met


def test_a_billion_alternatives_are_counted_and_not_written_out() -> None:
    lines = ["a0 := conv(kernel = 3|5, channels = 4|8)"]
    lines += [f"def f{i}(x) {{ y = a{i}(x)\n return a{i}(y) }}\na{i + 1} := f{i}" for i in range(5)]
    space = network("x = a5(image)", "\n".join(lines))
    assert count_raw(space) == 4**32


def test_all_errors_of_a_file_come_at_once_in_its_order() -> None:
    text = """space s(a=1, a=2)
op := conv_9x9 | max_pool_3x3
cell c (p) { x = con_3x3(p)
    return y }
network (image) { return stack(image, [d]) }
"""
    with pytest.raises(EpnasError) as caught:
        read_space(text, "s.space")
    codes = [(d.code, str(d.span)) for d in caught.value.diagnostics]
    assert codes == [
        ("E101", "s.space:1:14"),
        ("E103", "s.space:2:7"),
        ("E103", "s.space:3:18"),
        ("E103", "s.space:4:12"),
        ("E103", "s.space:5:40"),
    ]


STAGE = """def stage(x, depth, width=8*depth) {
        for i in 1..depth { x = op(x, channels=width) }
        return x
    }
    def pair(x, n) { return stage(stage(x, n, 4), depth=n+1) }"""


def test_a_chosen_depth_is_an_alternative_for_each_number() -> None:
    space = network("x = stage(image, depth=1|2|3)", f"op := conv_3x3 | conv_5x5\n{STAGE}")
    assert [d.size for d in space.decisions] == [2 + 4 + 8]
    assert len(set(texts(space))) == 14
    for architecture in enumerate_level(space, 1):
        assert load_architecture(str(architecture), space) == architecture
        depth = str(architecture).count("conv")
        made = [n for n in network_nodes(architecture).values() if n.operation.startswith("conv")]
        assert [n.channels for n in made] == [8 * depth] * depth


def test_a_chosen_depth_goes_through_functions() -> None:
    space = network("x = pair(image, n=1|2)", f"op := conv_3x3 | conv_5x5\n{STAGE}")
    assert [d.size for d in space.decisions] == [2 * 4 + 4 * 8]
    for architecture in enumerate_level(space, 1):
        assert load_architecture(str(architecture), space) == architecture


def test_shorter_stages_share_the_weights_of_the_first_blocks_of_longer_ones() -> None:
    space = network("x = stage(image, depth=1|2|3, width=4)", f"op := conv_3x3 | conv_5x5\n{STAGE}")
    keys = [
        [x.key for x in to_layers(to_network(a)) if x.kind == "conv"]
        for a in enumerate_level(space, 1)
        if "5x5" not in str(a)
    ]
    assert [len(k) for k in keys] == [1, 2, 3]
    assert keys[0] == keys[2][:1]
    assert keys[1] == keys[2][:2]


def test_a_wrong_depth_names_the_right_ones() -> None:
    space = network("x = stage(image, depth=1|2|3, width=4)", f"op := conv_3x3 | conv_5x5\n{STAGE}")
    with pytest.raises(EpnasError, match="`7` where `1`, `2`, `3` fits"):
        load_architecture("s: x = stage(image, depth=7, width=4) { x = conv_3x3(x) }", space)


def test_layers_of_one_network_never_share_their_weights() -> None:
    space = network(
        "x = op(image, channels=4)\n level l in 1..2 { x = op(x); x = op(twice(x)) }; x = twice(x)",
        "op := conv_3x3 | conv_5x5\n def twice(x) { x = op(x)\n return op(op(x)) }",
    )
    keys = []
    for level in (1, 2):
        architecture = next(enumerate_level(space, level))
        keys.append([x.key for x in to_layers(to_network(architecture)) if x.kind == "conv"])
        assert len(set(keys[-1])) == len(keys[-1])
    assert set(keys[0]) < set(keys[1])


def test_a_list_may_depend_on_a_test() -> None:
    body = """h[1] = conv_3x3(image, 4)
        for i in 2..3 {
            h[i] = conv_3x3(sum(some of [relu(h[i-1]), [h[i-2]] if i > 2 else []]))
        }
        x = h[3]"""
    assert [d.size for d in network(body).decisions] == [1, 3]


def test_nothing_is_unused_that_another_number_would_use() -> None:
    text = """space s(deep=0, channels=8)
        def wide(x) { return conv_3x3(x) }
        def deeper(x) { return wide(wide(x)) }
        network (image) {
            x = deeper(image) if deep else conv_5x5(image)
            return linear(global_avg_pool(x), 10)
        }"""
    assert check("s.space", text)[1] == []
    warnings = check("s.space", text.replace("deeper(image) if deep else", ""))[1]
    assert [w.code for w in warnings] == ["W001", "W001", "W002"]


def test_channels_are_read_where_an_operation_takes_them_by_default() -> None:
    text = """space s(channels=8)
        def block(x) { return OPERATION(x) }
        network (image) { return linear(global_avg_pool(block(image)), 10) }"""
    assert check("s.space", text.replace("OPERATION", "conv_3x3"))[1] == []
    (warning,) = check("s.space", text.replace("OPERATION", "relu"))[1]
    assert warning.code == "W002"


# --- channels that are shared ---------------------------------------------------------------------

PARTS = """
    stem = conv_3x3(image)
    a = max_pool_3x3(conv_3x3(stem))
    b = conv_3x3(a)
    c = conv_3x3(a + b)
    d = conv_3x3(c)
    x = concat(b, c, d, channels=11)
"""


def test_the_parts_of_a_concat_share_its_channels() -> None:
    found = network_nodes(first(network(PARTS)))
    assert [found[name].channels for name in "abcdx"] == [4, 4, 4, 3, 11]
    assert found["x"].inputs == ("b", "c", "d")
    assert found["a.op1"].channels == 4  # a pooling layer passes on what it is asked for
    assert found["stem"].channels == 4


def test_a_value_is_as_wide_as_its_most_demanding_reader_wants() -> None:
    found = network_nodes(first(network(PARTS.replace("b, c, d", "d, c, b"))))
    assert [found[name].channels for name in "abcd"] == [4, 4, 4, 4]  # c wants four of b
    cut = found["x.channel_slice"]
    assert (cut.inputs, cut.channels, found["x"].inputs) == (("b",), 3, ("d", "c", cut.name))


def test_a_reader_that_wants_fewer_takes_the_first_channels() -> None:
    found = network_nodes(first(network(PARTS.replace("a + b", "b"))))
    cut = found["d.channel_slice"]
    assert (cut.inputs, cut.channels, cut.layers[0].settings) == (
        ("c",), 3, (("start", 0), ("stop", 3)),
    )  # fmt: skip
    assert found["d"].inputs == (cut.name,)


def test_what_says_how_many_channels_it_makes_asks_for_none() -> None:
    text = PARTS.replace("c = conv_3x3(a + b)", "c = conv_3x3(conv_1x1(a + b, channels=32))")
    found = network_nodes(first(network(text.replace("concat(b,", "concat("), "", "space s")))
    assert [found[name].channels for name in ["c.op1", "c", "d", "x"]] == [32, 6, 5, 11]
    assert found["a"].channels == found["stem"].channels == 3  # as many as they read


def test_channels_are_shared_inside_a_function_and_in_spite_of_dead_code() -> None:
    before = f"def f(image) {{ {PARTS} dead = conv_3x3(a) + conv_5x5(image, 7) return x }}"
    found = network_nodes(first(network("x = f(image)", before)))
    assert [found[f"x.{name}"].channels for name in "abcd"] == [4, 4, 4, 3]
    assert not any("dead" in name for name in found)


def test_a_text_repeats_the_channels_that_are_shared() -> None:
    body = PARTS.replace("b, c, d", "b, some of [c, d]")
    space = network(body)
    assert texts(space)[-1] == "x = concat(b, c, d, channels=11)"
    assert [load_architecture(f"s: {t}", space) for t in texts(space)]
    with pytest.raises(EpnasError, match="`concat` needs `channels=`"):
        load_architecture("s: x = concat(b, c, d)", space)
    with pytest.raises(EpnasError, match="`12` where `11` fits"):
        load_architecture("s: x = concat(b, c, d, channels=12)", space)
    with pytest.raises(EpnasError, match="`concat` has no `width` here"):
        load_architecture("s: x = concat(b, c, d, width=11)", space)
    other = network(body.replace(", channels=11", ""))
    with pytest.raises(EpnasError, match="`concat` has no `channels` here"):
        load_architecture("s: x = concat(b, c, d, channels=11)", other)


def test_concats_of_other_channels_are_other_architectures() -> None:
    join = "(concat(b, c, d, channels=11) | concat(b, c, d, channels=12))"
    space = network(PARTS.replace("concat(b, c, d, channels=11)", join))
    one, two = enumerate_level(space, 1)
    assert one.key != two.key
    assert [network_nodes(a)["x"].channels for a in (one, two)] == [11, 12]


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ("0", "E414: 0 channels for 3 values"),
        ("2 - 4", "E414: -2 channels for 3 values"),
        ("5.5", "E406: `channels` of `concat` is 5.5, not a whole number"),
        ("5e6", "E406: `channels` of `.*` is 1,666,667; it lies between"),
    ],
)
def test_channels_that_cannot_be_shared(channels: str, message: str) -> None:
    with pytest.raises(EpnasError, match=message):
        network_nodes(first(network(PARTS.replace("11", channels))))


def test_a_chosen_number_of_channels_is_shared() -> None:
    space = network("width = 11 | 14\n" + PARTS.replace("channels=11", "channels=width"))
    found = [network_nodes(a) for a in enumerate_level(space, 1)]
    assert [[f[name].channels for name in "bcdx"] for f in found] == [
        [4, 4, 3, 11], [5, 5, 4, 14],
    ]  # fmt: skip


def test_a_loose_input_takes_the_stride_of_its_cell() -> None:
    cell = """cell c/2 (prev2, prev1) {
        h[0] = calibrate(prev2)
        h[1] = calibrate(prev1)
        h[2] = conv_3x3(h[1])
        return concat(unused(h))
    }"""
    space = network("x = stack(conv_3x3(image, 4), [c])", cell)
    found = network_nodes(first(space))
    step = found["cell1.output.factorized_reduce"]
    assert (step.inputs, step.channels, step.scale) == (("cell1.h0",), 8, 2)
    assert found["cell1.output"].inputs == (step.name, "cell1.h2")


@pytest.mark.parametrize(
    ("alternatives", "same"),
    [
        ("conv_3x3 | conv_3x3(stride=1)", ["`conv_3x3(stride=1)` is the same as `conv_3x3`"]),
        ("max_pool(3) | max_pool(3, stride=1, padding=1)", ["is the same as `max_pool(kernel=3)`"]),
        ("skip_connect | identity", ["`identity` is the same as `skip_connect`"]),
        ("conv_3x3 | conv_3x3(stride=2)", []),
        ("max_pool(3) | max_pool(3, padding=0)", []),
        ("skip_connect | conv_3x3 | max_pool_3x3", []),
    ],
)
@pytest.mark.parametrize("head", ["c", "c, d/2"])
def test_alternatives_that_are_the_same_once_defaults_are_taken(alternatives, same, head) -> None:
    text = f"""space s()
    treat skip_connect as wire
    treat identity as wire
    op := {alternatives}
    cell {head} (p) {{ return op(p) }}
    network (image) {{ return linear(global_avg_pool(stack(conv_3x3(image, 8), [LIST])), 10) }}
    """.replace("LIST", head.partition("/")[0])
    space, diagnostics = check("s.space", text)
    assert space
    found = [d.message for d in diagnostics if d.code == "W004"]
    if "/2" in head:  # where a stride is taken, they differ
        assert found == []
    else:
        assert len(found) == len(same)
        assert all(end in message for message, end in zip(found, same, strict=True))


MANY = "|".join(map(str, range(1, 60)))
TWICE = ["`conv_3x3(channels=8)` is the same as `conv_3x3`"]
WIDE = "z = {}; return linear(global_avg_pool(z), 10)"


def warned(body: str, items: str = "", code: str = "W004") -> list[str]:
    head = "x = conv_3x3(image, 8); w = conv_3x3(image, 16); y = relu(max_pool_3x3(x) + x);"
    text = f"space s(k=8)\n{items}\nnetwork (image) {{ {head} {WIDE.format(body)} }}"
    found = check("s.space", text)[1]
    assert {d.code for d in found} - {"W001", "W002", code} == set()
    return [d.message for d in found if d.code == code]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"conv(y, {MANY}, dilation={MANY}) | conv(y, 58|90, dilation=40|91)",
         ["two alternatives may be written the same"]),
        (f"conv(y, {MANY}, dilation={MANY}) | conv(y, 58|90, dilation=90|91)", []),
        (f"relu(conv(y, {MANY}, dilation={MANY})) | relu(conv(x, 58|90, dilation=40|91))", []),
    ],
)  # fmt: skip
def test_texts_of_thousands_of_alternatives_are_compared(body: str, found: list[str]) -> None:
    assert warned(body, code="E211") == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"conv(y, {MANY}, 4, dilation={MANY}) | conv_3x3(y, 4|5, dilation=7)",
         ["`conv_3x3(y, channels=4, dilation=7)` is the same as "
          "`conv(y, kernel=3, channels=4, dilation=7)`"]),
        (f"conv(y, {MANY}, 4, dilation={MANY}) | conv_3x3(y, 5, dilation={MANY})", []),
        ("relu(y) + x | x + relu(y)", ["`x + relu(y)` is the same as `relu(y) + x`"]),
        ("conv_3x3(y) | conv_3x3(y, 8|16)",
         ["`conv_3x3(y, channels=8)` is the same as `conv_3x3(y)`"]),
        ("conv_3x3(y) | conv_3x3(w, 8)", []),
        ("op(y)", TWICE),
        ("op(op(x | y))", TWICE),
        ("op(w)", []),
        ("op(y) + op(x) + op(conv_3x3(w, 8))", TWICE),
        ("op(y) + conv_1x1(op(w), 8)", []),
        ("op(image)", []),
        ("op(x | relu(y) | f(w))", []),
        ("op(g(y))", []),
    ],
)  # fmt: skip
def test_operations_that_are_the_same_where_widths_are_known(body: str, found: list[str]) -> None:
    items = "op := conv_3x3 | conv_3x3(channels=8)\ndef f(a) { return conv_1x1(a, 16) }"
    items += "\ng := f | relu"
    assert warned(body, items) == found


WIRES = "treat skip_connect as wire\ntreat identity as wire\n"
CELLS = """def f(a, n=3) { return conv(a, n) }
def g(a, n=3) { return conv(a, n) }
cell inner (p) { return relu(p) | conv_3x3(p) }
"""


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("sum(some of [x, skip_connect(x)])", ["`skip_connect(x)` is the same as `x`"]),
        ("sum(2 of [x, skip_connect(x)])", []),
        ("sum(relu(s) for s in 1 of [conv_3x3(x), conv(x, 3), y])",
         ["`conv(x, kernel=3)` is the same as `conv_3x3(x)`"]),
        ("relu(x) | skip_connect(relu(x)) | relu(identity(x))",
         ["`skip_connect(relu(x))` is the same as `relu(x)`",
          "`relu(identity(x))` is the same as `relu(x)`"]),
        ("x | skip_connect(x, stride=2)", []),
        ("raw_conv(x, 3) | raw_conv(x, 3, padding=1) | raw_conv(x, 3, padding=0)",
         ["`raw_conv(x, kernel=3, padding=1)` is the same as `raw_conv(x, kernel=3)`"]),
        ("raw_conv(x, 3, kernel_w=1) | raw_conv(x, 3, kernel_w=1, padding=1)", []),
        ("raw_conv(x, 3|5) | raw_conv(x, 5, padding=1)", []),
        ("max_pool(x, 3, padding=-1|0|1)", ["`padding=1` is the same as `padding=-1`"]),
        ("conv_3x3(x, 4|4.0)", ["`channels=4.0` is the same as `channels=4`"]),
        ("f(x) | g(x) | f(x, 5)", ["`g(x)` is the same as `f(x)`"]),
        ("inner(x) | inner(x, channels=8) | inner(x, channels=4)",
         ["`inner(x, channels=8)` is the same as `inner(x)`"]),
        ("stack(x, [inner]) | stack(x, [inner], channels=8)",
         ["`stack(x, [inner], channels=8)` is the same as `stack(x, [inner])`"]),
    ],
)  # fmt: skip
def test_what_is_the_same_in_other_words(body: str, found: list[str]) -> None:
    assert warned(body, WIRES + CELLS) == found


@pytest.mark.parametrize(("cells", "stack"), [("n", "n"), ("n, r/2", "n"), ("n, r/2", "r")])
def test_a_cell_that_nothing_uses_has_no_stride(cells: str, stack: str) -> None:
    cell = f"{WIRES}cell {cells} (p) {{ a = p | identity(p)\nreturn relu(conv_3x3(a)) }}"
    found = ["`identity(p)` is the same as `p`"] if stack == "n" else []
    assert warned(f"stack(x, [{stack}])", cell) == found


@pytest.mark.parametrize(
    ("body", "same"),
    [
        ("w = 8 | 16; x = conv_3x3(image, w); y = conv_3x3(x) | conv_3x3(x, w)", True),
        ("w = 8 | 16; x = conv_3x3(image, w); w = 8 | 4; y = conv_3x3(x) | conv_3x3(x, w)", False),
        ("""x = conv_3x3(image, 8)
        level i in 1..2 { x = conv_3x3(x, 8*i) | conv_5x5(x, 8*i) }
        y = conv_3x3(x) | conv_3x3(x, 16)""", False),
    ],
)  # fmt: skip
def test_a_name_that_is_given_again_is_another_number(body: str, same: bool) -> None:
    text = f"space s\nnetwork (image) {{ {body}; return linear(global_avg_pool(y), 10) }}"
    assert [d.code for d in check("s.space", text)[1]] == ["W004"] * same


def test_a_number_named_as_a_default_is_not_the_default() -> None:
    choice = "def f(x, stride) { return conv_3x3(x, stride=stride) | conv_3x3(x) }"
    assert warned("f(y, stride=1|2)", choice) == []
    cell = (
        "cell n (p) { d = shortcut(p) | shortcut(p, channels=channels)\n e = conv_3x3(p)\n"
        "return concat(d, e, channels=channels) }"
    )
    assert warned("stack(y, [n])", cell) == []
