"""The report's phase diagrams: a map of phases for each population whose cells have been judged."""

import altair
import polars as pl

from learners.charts import Picture, picture
from learners.landscape.phases.diagram import COLOURS, GREY
from learners.landscape.phases.rule import load_rule, rule_names
from schemas import Lake

PHASES = """
SELECT population_id, rule, load_axis, load, temperature_axis, temperature, phase, probability, distance, nearest,
    train_loss, train_error, mode_connectivity, cka, log_hessian_trace, test_accuracy, members
FROM phases ORDER BY ALL
"""


def phase_maps(lake: Lake) -> list[Picture]:
    """Phases over load x temperature, a map for each population and rule, paler where the bootstrap is less sure."""
    rows = lake.sql(PHASES)
    groups = rows.group_by("population_id", "rule", maintain_order=True)
    return [_map(str(population), str(rule), part) for (population, rule), part in groups]


def _map(population: str, rule: str, rows: pl.DataFrame) -> Picture:
    known = list(load_rule(rule).labels) if rule in rule_names() else sorted(set(rows["phase"]))
    labels = [*known, *sorted(set(rows["phase"]) - set(known))]
    colours = [*COLOURS[: len(known)], *[GREY] * (len(labels) - min(len(known), len(COLOURS)))]
    opacity = altair.Scale(domain=[0.5, 1], range=[0.35, 1], clamp=True)
    base = altair.Chart(rows).encode(
        x=altair.X(
            "temperature:O", title=str(rows["temperature_axis"][0]).replace("_", " "), axis=altair.Axis(labelAngle=0)
        ),
        y=altair.Y("load:O", title=str(rows["load_axis"][0]).replace("_", " "), sort="descending"),
    )
    cells = base.mark_rect(cornerRadius=3).encode(
        color=altair.Color("phase:N", sort=labels, scale=altair.Scale(domain=labels, range=colours)),
        opacity=altair.Opacity("probability:Q", scale=opacity),
        tooltip=[_tip(rows, name) for name in rows.columns if name not in ("population_id", "rule")],
    )
    chart = (cells + base.mark_text(fontSize=12).encode(text="phase:N")).properties(
        width=60 * rows["temperature"].n_unique(), height=40 * rows["load"].n_unique()
    )
    says = (
        f"By the rule {rule}, from training loss, mode connectivity, CKA and the Hessian's trace, and no accuracy."
        " Paler where the bootstrap over seeds and pairs is less sure; hover for the figures of a cell."
    )
    return picture(f"{population}: phases", says, PHASES, chart)


def _tip(rows: pl.DataFrame, name: str) -> altair.Tooltip:
    return altair.Tooltip(f"{name}:Q", format=".4~g") if rows.schema[name].is_numeric() else altair.Tooltip(f"{name}:N")
