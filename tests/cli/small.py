"""A small space, an architecture of it, and settings for a search of seconds."""

SMALL = "micro(blocks=2, channels=4, repeats=1)"
ARCH = f"{SMALL}: h1 = skip_connect(prev2) + conv_3x3(prev1)"
QUICK = [
    "search.kept=2", "search.iterations=1", "search.evaluations=3", "search.first_level_limit=2",
    "training.epochs=1", "data.limit=200", "evaluation.final_epochs=1",
]  # fmt: skip
