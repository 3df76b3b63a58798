"""Is stitching cheaper inside a phase than across? All pairs of the 126 perceptrons of `digits-phases-short`.

python benchmarks/stitching_phases.py [--lake DIR] [--to SVG]

Trains the population, gives its cells phases by the rule `taxonomy`, measures the least-squares penalty of every pair,
and compares pairs of one phase with pairs of two. Phases go with widths, and a joint costs what the narrower side
loses, so that the comparison is also made between pairs of the same two widths, there without pairs that started from
the same weights, and then without what each front and each end costs with all others. Intervals are 95 %, by the
bootstrap over models, and over cells, which have their phase as one.
"""

import argparse
import tempfile
from pathlib import Path

import altair
import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from learners import PenaltySettings, phases_of_population, stitch_penalties
from learners.stitching.contrast import Matrix, contrast
from learners.stitching.penalty_matrix import PenaltyMatrix
from learners.written_chart import write_chart
from schemas import Lake, open_lake
from zoo import build

RECIPE = "digits-phases-short"
MEMBERS = """
SELECT model_id, width, batch_size, seed, init_seed, phases.phase FROM member
JOIN phases ON phases.population_id = member.population_id AND load = width AND temperature = batch_size
WHERE member.population_id = $population_id ORDER BY phases.phase, width, batch_size, seed
"""
SIDE = 430
ROOM = {
    "left": 40,
    "top": 5,
    "right": 30,
    "bottom": 5,
}  # browsers' letters are wider than those that it is measured with
Chosen = NDArray[np.bool_]


def measured(lake: Lake) -> tuple[pl.DataFrame, PenaltyMatrix]:
    """The members with their phases, in the phases' order, and what every pair costs."""
    population = build(lake, RECIPE, device="cpu", workers=1)
    phases_of_population(lake, population)
    members = lake.sql(MEMBERS, population_id=population)
    names = ", ".join(f"('{name}', {place})" for place, name in enumerate(members["model_id"]))
    query = f"SELECT model_id FROM (VALUES {names}) AS chosen (model_id, place) ORDER BY place"
    return members, stitch_penalties(lake, query, PenaltySettings(), device="cpu")


def answers(members: pl.DataFrame, penalty: Matrix, shuffles: int) -> pl.DataFrame:
    """A row for each way to ask: means, their difference, intervals by models and by cells, p-values."""
    seed, width, phase = (np.array(members[name]) for name in ("init_seed", "width", "phase"))
    start = (seed[:, None] == seed[None, :]) & (width[:, None] == width[None, :])
    apart = np.where(start, np.nan, penalty)
    everybody = np.ones(len(phase), dtype=bool)
    return pl.DataFrame(
        [
            _answer("all", members, penalty, everybody, shuffles, by_width=False),
            _answer("same two widths", members, penalty, everybody, shuffles),
            _answer("same two widths, started apart (s.)", members, apart, everybody, shuffles),
            _answer("s., without each side's own cost", members, apart, everybody, shuffles, sides=True),
            _answer("s., phases I and II alone", members, apart, np.isin(phase, ["I", "II"]), shuffles),
            _answer("s., phases III and IV alone", members, apart, ~np.isin(phase, ["I", "II"]), shuffles),
        ]
    )


def _answer(
    name: str,
    members: pl.DataFrame,
    penalty: Matrix,
    chosen: Chosen,
    shuffles: int,
    *,
    by_width: bool = True,
    sides: bool = False,
) -> dict[str, object]:
    few = members.filter(pl.Series(chosen))
    matrix, phase = penalty[chosen][:, chosen], few["phase"].to_list()
    strata = few["width"].to_list() if by_width else None
    cell = few.select(pl.concat_str("width", "batch_size", separator="/")).to_series().to_list()
    models = contrast(matrix, phase, strata=strata, sides=sides, shuffles=shuffles)
    cells = contrast(matrix, phase, strata=strata, sides=sides, clusters=cell, shuffles=shuffles)
    return {
        "pairs": name,
        "models": few.height,
        "inside": models.inside,
        "across": models.across,
        "difference": models.difference,
        "low": models.low,
        "high": models.high,
        "p": models.p_value,
        "low_by_cells": cells.low,
        "high_by_cells": cells.high,
        "p_by_cells": cells.p_value,
        "pairs_inside": models.pairs_inside,
        "pairs_across": models.pairs_across,
    }


def by_phases(members: pl.DataFrame, penalty: Matrix) -> pl.DataFrame:
    """Mean penalty of fronts of one phase (rows) and ends of one phase (columns), of different models."""
    phase = np.array(members["phase"])
    apart = np.where(np.eye(len(phase), dtype=bool), np.nan, penalty)
    kinds = sorted(set(phase))
    rows = [{"front": one} | {two: np.nanmean(apart[phase == one][:, phase == two]) for two in kinds} for one in kinds]
    return pl.DataFrame(rows)


def drawing(members: pl.DataFrame, found: PenaltyMatrix, table: pl.DataFrame) -> altair.VConcatChart:
    """The matrix in the phases' order, a square for each pair of cells, and the differences with their intervals."""
    cells = members.unique(["width", "batch_size"], keep="first", maintain_order=True).with_row_index("place")
    places = members.join(cells.select("width", "batch_size", "place"), on=["width", "batch_size"])
    position = dict(places.select("model_id", "place").iter_rows())
    ends = cells.group_by("phase", maintain_order=True).agg(pl.max("place"))
    lines = [int(place) + 1 for place in ends["place"][:-1]]
    pairs = found.rows.filter(pl.col("front") != pl.col("end"))
    pairs = pairs.with_columns(pl.col("front", "end").replace_strict(position))
    squares = _squares(pairs.group_by("front", "end").agg(pl.mean("penalty")), cells.height)
    rules = altair.Chart(pl.DataFrame({"at": lines}))
    borders = rules.mark_rule(color="black").encode(x="at:Q") + rules.mark_rule(color="black").encode(y="at:Q")
    middles = cells.group_by("phase", maintain_order=True).agg(at=pl.mean("place") + 0.5)
    marks = altair.Chart(middles)
    names = altair.layer(*(_above(middles[number::2], height) for number, height in enumerate((-8, -20))))
    names += marks.mark_text(fontWeight="bold", align="right", dx=-4).encode(y="at:Q", x=altair.value(0), text="phase")
    matrix = (squares + borders + names).properties(width=SIDE, height=SIDE)
    chart: altair.VConcatChart = altair.vconcat(matrix, _intervals(table), padding=ROOM)
    return chart


def _above(middles: pl.DataFrame, height: int) -> altair.Chart:
    """Names above the matrix; neighbours stand at different heights, since phases may be as narrow as one cell."""
    text = altair.Chart(middles).mark_text(fontWeight="bold", dy=height)
    named: altair.Chart = text.encode(x="at:Q", y=altair.value(0), text="phase")
    return named


def _squares(pairs: pl.DataFrame, cells: int) -> altair.Chart:
    below, beside = (
        altair.Axis(labels=False, ticks=False, domain=False, grid=False, titlePadding=far) for far in (4, 36)
    )
    most = float(pairs["penalty"].abs().max() or 1)  # type: ignore[arg-type] # a column of numbers
    across, down = (altair.Scale(domain=domain, nice=False) for domain in ([0, cells], [cells, 0]))
    chart: altair.Chart = (
        altair.Chart(pairs.with_columns(pl.col("penalty").round(3), right=pl.col("end") + 1, below=pl.col("front") + 1))
        .mark_rect()
        .encode(
            x=altair.X("end:Q", title="end", scale=across, axis=below),
            x2="right:Q",
            y=altair.Y("front:Q", title="front", scale=down, axis=beside),
            y2="below:Q",
            color=altair.Color(
                "penalty:Q", title="penalty", scale=altair.Scale(scheme="blueorange", domain=[-most, most])
            ),
        )
    )
    return chart


def _intervals(table: pl.DataFrame) -> altair.LayerChart:
    base = altair.Chart(table).encode(y=altair.Y("pairs:N", sort=None, title=None, axis=altair.Axis(labelLimit=260)))
    what = "how much more a joint across phases costs (points of error); 95 % by models, thin: by cells"
    cells = base.mark_rule(color="#8a97a3").encode(x=altair.X("low_by_cells:Q", title=what), x2="high_by_cells:Q")
    models = base.mark_rule(strokeWidth=4, color="#4c78a8").encode(x="low:Q", x2="high:Q")
    points = base.mark_point(filled=True, color="black", size=60).encode(x="difference:Q")
    zero = altair.Chart(pl.DataFrame({"x": [0]})).mark_rule(strokeDash=[3, 3]).encode(x="x:Q")
    chart: altair.LayerChart = (zero + cells + models + points).properties(width=SIDE)
    return chart


def main() -> None:
    """Measure, print the answers, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Path, help="a lake that stays; one that is thrown away without it")
    parser.add_argument("--shuffles", type=int, default=2000)
    parser.add_argument("--to", type=Path, help="picture of the matrix and the answers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, open_lake(arguments.lake or folder) as lake:
        members, found = measured(lake)
    penalty = found.matrix()
    table = answers(members, penalty, arguments.shuffles)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, fmt_str_lengths=60, tbl_width_chars=220):
        print(members.group_by("phase").agg(pl.len(), pl.col("width").unique().sort()).sort("phase"))
        print(table, by_phases(members, penalty), sep="\n")
    if arguments.to:
        points = [pl.col("difference", "low", "high", "low_by_cells", "high_by_cells") * 100]
        print(write_chart(drawing(members, found, table.with_columns(points)), arguments.to))


if __name__ == "__main__":
    main()
