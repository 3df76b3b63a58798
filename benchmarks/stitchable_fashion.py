"""The paper of stitchable networks in miniature: three anchors on Fashion-MNIST, all stitches at three stages.

python benchmarks/stitchable_fashion.py [FASHION.npz] [--recipe TOML] [--lake DIR] [--to SVG]

Anchors are the recipe `fashion-mlp-anchors` (perceptrons of one depth and three widths), the stitches those of
`stitchable_fashion.toml`. Every stitch is scored on the test split with joints drawn at random, by least squares, and
after training (Pan, Cai and Zhuang 2023: 39 of 71 stitches on the front, the smallest anchor loses about 1.6 points).
With a lake of one's own a run that was ended goes on.
"""

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path

import polars as pl
import torch

from learners import draw_stitches, stitch
from schemas import Lake, open_lake
from zoo import build
from zoo.recipe import load_recipe, with_fields

HERE = Path(__file__).parent
STAGES = ["random", "least squares", "trained"]


def anchors(lake: Lake, data: Path) -> str:
    """Train the anchors; gives the query that selects them."""
    population = build(
        lake, with_fields(load_recipe("fashion-mlp-anchors"), dataset=f"npz:{data}"), device="cpu", workers=1
    )
    return f"SELECT model_id FROM models WHERE population_id = '{population}'"


def table(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each figure, a column for each stage."""
    joined = rows.filter(pl.col("hops") > 0)
    figures = joined.group_by("stage").agg(
        pl.mean("accuracy").alias("mean of the stitches"),
        pl.min("accuracy").alias("worst stitch"),
        pl.max("accuracy").alias("best stitch"),
        pl.sum("on_front").alias("stitches on the front").cast(pl.Float64),
    )
    alone = rows.filter(hops=0).sort("flops")
    names = [f"anchor of {flops / 1e3:.0f} kFLOPs" for flops in alone["flops"].unique().sort()]
    values = alone.group_by("stage", maintain_order=True).agg("accuracy").rows()
    anchored = pl.DataFrame([{"stage": stage, **dict(zip(names, found, strict=True))} for stage, found in values])
    wide = figures.join(anchored, on="stage")
    columns = [column for column in wide.columns if column != "stage"]
    parts = [wide.filter(stage=stage).select(columns).transpose(column_names=[stage]) for stage in STAGES]
    return pl.concat([pl.DataFrame({"figure": columns}), *parts], how="horizontal")


def between(rows: pl.DataFrame) -> pl.DataFrame:
    """How far stitches rise above the straight line between the anchors that they join, in accuracy and FLOPs."""
    trained = rows.filter(stage="trained")
    alone = trained.filter(hops=0).sort("flops").select("flops", "accuracy").rows()
    found = []
    for (cheap, low), (dear, high) in pairwise(alone):
        part = trained.filter((pl.col("hops") > 0) & pl.col("flops").is_between(cheap, dear))
        line = low + (high - low) * (part["flops"] - cheap) / (dear - cheap)
        above = part["accuracy"] - line
        found.append(
            {"from": cheap, "to": dear, "stitches": part.height, "above": int((above > 0).sum()), "mean": above.mean()}
        )
    return pl.DataFrame(found)


def main() -> None:
    """Train the anchors, stitch them, print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[2] / "shared" / "data" / "images" / "fashion_mnist.npz"
    parser.add_argument("data", type=Path, nargs="?", default=default)
    parser.add_argument("--recipe", type=Path, default=HERE / "stitchable_fashion.toml")
    parser.add_argument("--lake", type=Path, help="a lake that stays; one that is thrown away without it")
    parser.add_argument("--to", type=Path, help="picture of all stitches")
    arguments = parser.parse_args()
    if not arguments.data.is_file():
        print(f"{arguments.data} is absent: give the path of fashion_mnist.npz")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, open_lake(arguments.lake or folder) as lake:
        made = stitch(lake, anchors(lake, arguments.data.resolve()), arguments.recipe, device="cpu")
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True):
        print(table(made.stitches), between(made.stitches), sep="\n")
    if arguments.to:
        print(draw_stitches(made.stitches, arguments.to))


if __name__ == "__main__":
    main()
