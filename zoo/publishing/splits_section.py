"""The card's section on splits: what they keep together, and how many models of each value of a grid each has."""

from collections.abc import Collection

import polars as pl

from zoo.families import SPLITS

TOGETHER = {
    "run": "All checkpoints of a model are in one split.",
    "parent": "All checkpoints of a model are in one split, and so are models with a common ancestor: fine-tunes of "
    "one parent, a soup and its ingredients.",
    "start": "All checkpoints of a model are in one split, and so are models with a common ancestor (fine-tunes of "
    "one parent, a soup and its ingredients) or the same initial weights.",
    "cell": "All models of a cell, which differ by their seeds alone, are in one split, and so are models with a "
    "common ancestor. Models of different cells may have had the same initial weights.",
}
CELLS_ARE_PARTED = (
    " A phase is judged by all models of its cell, whichever split they are in: `phase` of a model in `train` is known "
    "from models that are held out, too. Predicting phases wants splits that part no cell (`--together cell`)."
)
AT_RANDOM = (
    " Which family is in which split is drawn at random, not balanced over the grid: a small split may lack some of "
    "its values."
)
GRID = ("architecture", "width", "depth", "batch_size", "learning_rate", "weight_decay", "label_noise", "data_fraction")
"""What a grid varies, if anything."""
MOST_VALUES = 12
"""Of a column that is counted split by split."""
CELLS_ARE_WHOLE = " A phase is judged by the models of its cell, which are in one split."


def splits_section(models: pl.DataFrame, split_of: pl.DataFrame, together: str, configs: Collection[str]) -> str:
    """Say how models are divided over splits.

    Args:
        models: Rows of the configuration `models`.
        split_of: A row a model: model_id and split.
        together: What no split parts, see `zoo.families.families`.
        configs: Names of the configurations that are published.
    """
    families = models["family"].n_unique()
    told = f"The column `family` tells the {families:,} families."
    alone = " All models are of one family here, so that there is nothing to hold out."
    pairs = (
        " A pair is in `test` if one of its models is, else in `validation` if one is." if "pairs" in configs else ""
    )
    phases = ""
    if "phases" in configs:
        phases = CELLS_ARE_WHOLE if together == "cell" else CELLS_ARE_PARTED
    counted = _counts(models.join(split_of.select("model_id", "split"), on="model_id"))
    return f"{TOGETHER[together]} {told}{AT_RANDOM if families > 1 else alone}{pairs}{phases}{counted}"


def _counts(models: pl.DataFrame) -> str:
    """A table of how many models of each value of a grid each split has; nothing where nothing was varied."""
    lines = []
    for column in GRID:
        counts = models.drop_nulls(column).group_by(column).agg(*_in_splits())
        if 1 < counts.height <= MOST_VALUES:
            rows = counts.sort(column).rows()
            lines += [f"| `{column}` = {value} | {' | '.join(f'{n:,}' for n in held)}" for value, *held in rows]
    head = ["| models with | train | validation | test |", "|---|---|---|---|"]
    return "\n\n" + "\n".join([*head, *(f"{line} |" for line in lines)]) if lines else ""


def _in_splits() -> list[pl.Expr]:
    return [(pl.col("split") == split).sum().alias(split) for split in SPLITS]
