"""The report on penalties: a heat map for the pairs that were measured alike, and what joints cost by depth."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

import altair
import polars as pl
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from learners.reporting.figure import QUIET, Figure, Panel, gradient, legend_of, panel, quoted, shortened
from learners.stitching.depth_chart import Depths, depth_chart, families
from learners.stitching.penalty_map import architectures_of, map_height, penalty_map
from learners.stitching.penalty_settings import LEAST_SQUARES
from learners.stitching.short_names import short_names
from schemas import Lake

MOST_MODELS = 60  # in one heat map; more cannot be seen
MOST_PANELS = 6  # heat maps, and pictures by depth
MOST_PAIRS = 8000  # in all heat maps together, of about 110 bytes each
SIDES = (220, 560, 22)  # pixels of a heat map: at least, at most, and for a model
OF_POPULATION = """
    AND first_id IN (SELECT model_id FROM member WHERE population_id = {population})
    AND second_id IN (SELECT model_id FROM member WHERE population_id = {population})"""
MEASURED = """
WITH measured AS (
    SELECT first_id AS front, second_id AS "end", settings->>'joint' AS kind, settings->>'end_cut_name' AS cut,
        (settings->>'end_cut')::INTEGER AS end_cut, value AS penalty, standard_error, measured_at,
        concat_ws(', ', samples || ' ' || split || ' samples', 'fitted to ' || (settings->>'fit_samples'),
            'ridge ' || nullif(settings->>'ridge', '0.0'), 'seed ' || nullif(seed, 0),
            'data ' || (settings->>'given')) AS how,
        concat_ws(' ', kind, 'for ' || (settings->>'$.training.epochs') || ' epochs at ' ||
            (settings->>'$.training.learning_rate') || ', in batches of ' ||
            (settings->>'$.training.batch_size')) AS joint
    FROM pair_measurement
    WHERE metric = 'stitch_penalty' AND value IS NOT NULL AND settings->>'front_epoch' IS NULL
        AND settings->>'end_epoch' IS NULL{only}
), newest AS (
    FROM measured
    QUALIFY row_number() OVER (PARTITION BY front, "end", joint, how, end_cut, cut ORDER BY measured_at DESC) = 1
)"""
PENALTIES = """{measured}, chosen AS (
    SELECT joint, how, model_id FROM (SELECT joint, how, front AS model_id FROM newest UNION
                                      SELECT joint, how, "end" FROM newest)
    QUALIFY row_number() OVER (PARTITION BY joint, how ORDER BY model_id) <= {most}
)
SELECT front, "end", ends.architecture AS end_architecture, joint, how, avg(penalty) AS penalty,
    greatest(-1, avg(penalty) - 1.96 * coalesce(avg(standard_error), 0)) AS low,
    least(1, avg(penalty) + 1.96 * coalesce(avg(standard_error), 0)) AS high, count(*) AS cuts
FROM newest LEFT JOIN models AS ends ON ends.model_id = "end"
SEMI JOIN chosen ON front = chosen.model_id AND newest.joint = chosen.joint AND newest.how = chosen.how
SEMI JOIN chosen AS other ON "end" = other.model_id AND newest.joint = other.joint AND newest.how = other.how
GROUP BY ALL ORDER BY ALL
"""
DEPTHS = """{measured}, of_end AS (
    SELECT joint, how, "end", array_to_string(list_transform(list_sort(list(DISTINCT {{'at': end_cut, 'cut': cut}})),
        lambda each: each.cut), ', ') AS cuts
    FROM newest GROUP BY ALL
)
SELECT coalesce(architecture, '') AS architecture, cuts, how, joint, end_cut, cut, avg(penalty) AS penalty,
    quantile_cont(penalty, 0.25) AS low, quantile_cont(penalty, 0.75) AS high, count(*) AS pairs,
    count(DISTINCT "end") AS ends
FROM newest JOIN of_end USING (joint, how, "end") LEFT JOIN models ON model_id = "end"
WHERE front <> "end" GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Map:
    """Pairs of models that joints of one kind, measured in one way, hold together."""

    joint: str
    how: str
    pairs: pl.DataFrame
    title: str = ""

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all."""
        return tuple(pl.concat([self.pairs["front"], self.pairs["end"]]).unique().sort())

    def within(self, other: "Map") -> bool:
        """Whether the other one has all these pairs with the same kind of joint."""
        same = _called(self.joint) == _called(other.joint)
        return same and self.pairs.join(other.pairs, on=["front", "end"], how="anti").is_empty()


def penalty_figures(lake: Lake, population_id: str | None) -> list[Figure]:
    """The heat maps of penalties and what joints cost by depth, of a population's members where one is given."""
    only = "" if population_id is None else OF_POPULATION.format(population=quoted(population_id))
    measured = MEASURED.format(only=only)
    sql = PENALTIES.format(measured=measured, most=MOST_MODELS).strip()
    rows = lake.sql(sql)
    if rows.is_empty():
        return []
    found = _told_apart(_maps(rows))
    shown = _first(found)
    says = (
        "What it costs to join the front of one model (a row) to the end of another (a column): the error of the"
        " stitched network minus that of the end's own, on held-out samples, a mean over cuts, with an interval of 95 %"
        " that is at least as wide as it should be. Models that are alike inside stand together; blank pairs cannot be"
        " joined or were not. A map is of pairs that were measured alike; of several ways in which the same pairs were"
        " measured, the one with most joints is shown."
    )
    if any(len(each.models) == MOST_MODELS for each in shown):
        says += f" Of more than {MOST_MODELS} models the first by name are shown."
    if len(found) > len(shown):
        says += f" The largest {len(shown)} of {len(found)} maps are shown."
    panels = tuple(_penalty_map(each) for each in shown)
    layout = "one" if len(panels) == 1 else "two"
    first = Figure("Stitch penalties", says, panels[0].finding, sql, rows, panels, layout=layout)
    return [first, *_depths(lake, measured, shown)]


def _maps(rows: pl.DataFrame) -> list[Map]:
    """The maps of all that was measured alike and hangs together, without those whose pairs a larger one has."""
    every = [each for _, part in rows.group_by("joint", "how", maintain_order=True) for each in _connected(part)]
    every.sort(key=lambda each: (-each.pairs["cuts"].sum(), each.joint, each.how, each.models))
    kept: list[Map] = []
    for each in every:
        if not any(each.within(other) for other in kept):
            kept.append(each)
    return kept


def _first(maps: list[Map]) -> list[Map]:
    """As many maps as a page holds, at least one."""
    pairs = accumulate(each.pairs.height for each in maps)
    return [each for each, held in zip(maps, pairs, strict=True) if each is maps[0] or held <= MOST_PAIRS][:MOST_PANELS]


def _connected(rows: pl.DataFrame) -> Iterator[Map]:
    """The parts of what was measured alike between which there is no joint."""
    names = pl.concat([rows["front"], rows["end"]]).unique().sort().to_list()
    place = {name: number for number, name in enumerate(names)}
    fronts, ends = ([place[name] for name in rows[side]] for side in ("front", "end"))
    graph = coo_array(([1] * len(fronts), (fronts, ends)), shape=(len(names), len(names)))
    count, parts = connected_components(graph, directed=False)
    of_row = pl.Series([int(parts[front]) for front in fronts])
    for part in range(count):
        yield Map(rows["joint"][0], rows["how"][0], rows.filter(of_row == part))


def _told_apart(maps: list[Map]) -> list[Map]:
    """The maps with titles: the kind of joint, and what else tells them apart."""
    short = [f"Joints by {_called(each.joint)}" for each in maps]
    if len(set(short)) == len(short):
        return [replace(each, title=title) for each, title in zip(maps, short, strict=True)]
    whose = [f"{title}: {_whose(each)}" for each, title in zip(maps, short, strict=True)]
    long = [f"{title}, {each.joint}, {each.how}" for each, title in zip(maps, whose, strict=True)]
    titles = [title if whose.count(title) == 1 else other for title, other in zip(whose, long, strict=True)]
    return [replace(each, title=title) for each, title in zip(maps, titles, strict=True)]


def _called(joint: str) -> str:
    """The kind of a joint, without how long it was trained."""
    return "training" if joint.startswith("trained") else joint


def _whose(each: Map) -> str:
    """How many models, and their population where they share one."""
    shared = {name.rpartition("/")[0].rpartition(":")[2] for name in each.models}
    return f"{len(each.models)} models" + (f" of {shortened(shared.pop())}" if len(shared) == 1 else "")


def _penalty_map(each: Map) -> Panel:
    chart = penalty_map(each.pairs, each.models, QUIET, gradient("+.0%"))
    least, most, for_one = SIDES
    height = map_height(each.pairs, each.models, max(least, min(most, for_one * len(each.models))))
    others = each.pairs.filter(pl.col("front") != pl.col("end"))
    known = (others if not others.is_empty() else each.pairs).sort("penalty", "front", "end")
    named = short_names(each.models, architectures=architectures_of(each.pairs))
    cheap, dear = (
        f"{100 * row['penalty']:+.1f} points ({named[row['front']]} into {named[row['end']]})"
        for row in (known.row(place, named=True) for place in (0, -1))
    )
    finding = f"{_whose(each)}: from {cheap} to {dear}; {each.joint}, {each.how}."
    return panel(each.title, chart, height, finding=finding)


def _depths(lake: Lake, measured: str, shown: list[Map]) -> list[Figure]:
    """What was measured as one of the maps was, all kinds of joints that were measured alike beside each other."""
    sql = DEPTHS.format(measured=measured).strip()
    rows = lake.sql(sql)
    kept = rows.filter(pl.col("how").is_in([each.how for each in shown]))
    found = [
        (f"{architecture}: {family.title}" if architecture else family.title, str(how), family)
        for (architecture, how), part in kept.group_by("architecture", "how", maintain_order=True)
        for family in families(part)
    ]
    found.sort(key=lambda each: (-each[2].rows["pairs"].sum(), each[0], each[1]))
    if not found:
        return []
    names = [name for name, _, _ in found]
    titles = [name if names.count(name) == 1 else f"{name}, {how}" for name, how, _ in found]
    panels = tuple(_depth(title, part) for title, (_, _, part) in zip(titles[:MOST_PANELS], found, strict=False))
    says = (
        "Means over pairs of different models at each cut; the middle half of the pairs is shaded. Only ends that have"
        " the same cuts are in one picture, as depths of others are none of theirs."
    )
    if len(found) > MOST_PANELS:
        says += f" The {MOST_PANELS} of most pairs, of {len(found)}, are shown."
    layout = "one" if len(panels) == 1 else "two"
    return [Figure("Penalties by depth", says, panels[0].finding, sql, rows, panels, layout=layout)]


def _depth(title: str, part: Depths) -> Panel:
    joints = part.rows["joint"].unique().sort().to_list()
    legend = legend_of(joints) if joints != [LEAST_SQUARES] else None
    if legend is not None:
        legend.symbolOpacity, legend.symbolType = 1, "stroke"
    colour = altair.Color("joint:N", scale=altair.Scale(domain=joints), legend=legend)
    return panel(title, depth_chart(part, colour), 240, finding=f"{title}: {part.finding}.")
