"""The report on stitching: the networks that a stitchable network holds, and what joints between models cost."""

import altair
import polars as pl

from learners.reporting.figure import QUIET, Figure, Panel, Section, legend_of, panel, quoted, shortened
from learners.reporting.penalties import penalty_figures
from learners.stitching.pareto_chart import STAGES, anchors_before, pareto_panel
from schemas import Lake

MOST_NETWORKS = 4
MOST_STITCHES = 600  # points of a picture
NETWORKS_OF_POPULATION = """
    WHERE model_id IN (SELECT child_id FROM lineage JOIN member ON member.model_id = parent_id
                       WHERE population_id = {population})"""
NETWORKS = """
SELECT model_id, max(made_at) AS made_at FROM stitch LEFT JOIN product USING (model_id){only}
GROUP BY ALL ORDER BY made_at DESC NULLS LAST, model_id
"""
STITCHES = """
SELECT model_id, stage, stitch, path, hops, flops, parameters, accuracy, accuracy - 1.96 * standard_error AS low,
    accuracy + 1.96 * standard_error AS high, on_front
FROM stitch WHERE model_id = {network}
QUALIFY row_number() OVER (PARTITION BY stage ORDER BY hops > 0, NOT on_front, hash(stitch)) <= {most}
ORDER BY stage, flops, stitch
"""


def stitching_section(lake: Lake, population_id: str | None) -> Section:
    """Penalties and stitchable networks, of a population's members where one is given."""
    only = "" if population_id is None else NETWORKS_OF_POPULATION.format(population=quoted(population_id))
    names = lake.sql(NETWORKS.format(only=only))["model_id"].to_list()
    figures = [_network(lake, name) for name in names[:MOST_NETWORKS]]
    left = len(names) - len(figures)
    says = f"Of {len(names)} stitchable networks the {MOST_NETWORKS} newest are shown." if left > 0 else ""
    return Section("Stitching", [*figures, *penalty_figures(lake, population_id)], says)


def _network(lake: Lake, name: str) -> Figure:
    sql = STITCHES.format(network=quoted(name), most=MOST_STITCHES).strip()
    rows = lake.sql(sql)
    trained = rows.filter(pl.col("stage") == "trained")
    last = trained if not trained.is_empty() else rows
    front = last.filter("on_front").sort("accuracy")
    stitches = front.filter(pl.col("hops") > 0).height
    accuracies = front["accuracy"].to_list() or [0.0]
    finding = (
        f"On the Pareto front{'' if trained.is_empty() else ' after training'}: {front.height - stitches} of the"
        f" anchors and {stitches} of the stitches, from {accuracies[0]:.1%} to {accuracies[-1]:.1%}."
    )
    says = (
        "Every network that can be put together from the anchors, which share all weights: accuracy against cost, with"
        " joints drawn at random, by least squares, and after training. Lines are the Pareto fronts, diamonds anchors"
        " and dots stitches; hollow diamonds are the anchors before training."
    )
    panels = [_pareto(rows, "All stages")]
    if not trained.is_empty():
        panels.append(_after(trained, anchors_before(rows)))
    return Figure(f"Stitchable network {shortened(name)}", says, finding, sql, rows, tuple(panels))


def _pareto(stitches: pl.DataFrame, title: str) -> Panel:
    front = stitches.filter("on_front").sort("accuracy")
    best = f"The best on a front: {front['accuracy'][-1]:.1%}, {front['stage'][-1]}." if not front.is_empty() else ""
    return panel(title, pareto_panel(stitches, _colour(stitches), None), 300, finding=best)


def _after(trained: pl.DataFrame, before: pl.DataFrame) -> Panel:
    """What was trained, and in words what that did to the anchors."""
    anchors = trained.filter(hops=0).join(before.select("stitch", was="accuracy"), on="stitch").sort("flops")
    told = [f"from {was:.1%} to {now:.1%}" for was, now in anchors.select("was", "accuracy").rows()]
    finding = f"Training took the cheapest anchor {told[0]}, the dearest {told[-1]}." if told else ""
    return panel("After training", pareto_panel(trained, _colour(trained), None, before, QUIET), 300, finding=finding)


def _colour(stitches: pl.DataFrame) -> altair.Color:
    legend = legend_of(STAGES) if stitches["stage"].n_unique() > 1 else None
    return altair.Color("stage:N", sort=STAGES, scale=altair.Scale(domain=STAGES), legend=legend)
