"""Random terms, for property tests."""

from hypothesis import strategies as st

from epnas_dsl.space.terms import Apply, Choice, Each, Join, Operation, Subset, Term, Value

LABELS = [f"v{i}" for i in range(4)]


def callees() -> st.SearchStrategy[Term]:
    plain = [Operation(f"op{i}") for i in range(3)]
    return st.integers(1, 3).map(lambda n: Choice(tuple(plain[:n])) if n > 1 else plain[0])


def terms(depth: int = 3) -> st.SearchStrategy[Term]:
    """Values, operations, sums and choices, nested; small enough to be enumerated."""
    leaves = st.sampled_from(LABELS).map(Value)
    if depth == 0:
        return leaves
    inner = terms(depth - 1)
    applied = st.builds(lambda c, x: Apply(c, (x,)), callees(), inner)
    chosen = st.lists(inner, min_size=1, max_size=3).map(lambda ts: Choice(tuple(ts)))
    twice = inner.map(lambda t: Join("add", (t, t)))
    joined = st.lists(st.one_of(inner, subsets(inner)), min_size=1, max_size=3).map(
        lambda ts: Join("add", tuple(ts))
    )
    return st.one_of(leaves, applied, chosen, twice, joined)


@st.composite
def subsets(draw: st.DrawFn, elements: st.SearchStrategy[Term]) -> Term:
    """A subset of up to three elements, plain or with a body for each."""
    found = tuple(draw(st.lists(elements, min_size=1, max_size=3)))
    least = draw(st.integers(0, len(found)))
    most = draw(st.integers(max(least, 1), len(found)))
    subset = Subset(found, least, most)
    if draw(st.booleans()):
        return subset
    return Each("s", subset, Apply(draw(callees()), (Value("s"),)))


# A chain of three operations, one a level.
CHAIN = """space chain
op := conv_3x3 | conv_5x5 | max_pool_3x3
cell normal (prev) {
    h[0] = prev
    level i in 1..3 { h[i] = op(h[i-1]) }
    return last(h)
}
network (image) {
    x = stack(conv_3x3(image, 4), [normal])
    return linear(global_avg_pool(x), 10)
}"""
