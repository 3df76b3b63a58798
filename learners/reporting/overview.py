"""The report's first page: how much there is of everything, and where it is from."""

from html import escape

import polars as pl

from learners.reporting.figure import quoted
from learners.reporting.table import short, table
from schemas import Lake

TILES = """
SELECT (SELECT count(*) FROM models WHERE deleted_at IS NULL) AS models,
    (SELECT count(DISTINCT hub) FROM models WHERE origin = 'mined') AS hubs,
    (SELECT count(*) FROM models WHERE origin = 'mined' AND deleted_at IS NULL) AS mined,
    (SELECT count(*) FROM models WHERE origin = 'trained') AS trained,
    (SELECT count(*) FROM models WHERE origin = 'made') AS made,
    (SELECT count(*) FROM population) AS populations,
    (SELECT count(*) FROM card) AS cards,
    (SELECT count(*) FROM lineage WHERE relation IS DISTINCT FROM 'initialised-from') AS relations,
    (SELECT sum(parameters)::BIGINT FROM models WHERE deleted_at IS NULL) AS parameters
"""
SINGULAR = {"models": "model", "hubs": "hub", "populations": "population", "cards": "card", "relations": "relation"}
OVERVIEW = """
SELECT origin, hub, count(*) AS models, count(parameters) / count(*) AS with_parameters_share,
    sum(parameters)::BIGINT AS parameters, sum(stored_bytes)::BIGINT AS stored_bytes,
    sum(downloads)::BIGINT AS downloads
FROM models WHERE deleted_at IS NULL GROUP BY ALL ORDER BY ALL
"""
POPULATION_TILES = """
SELECT count(*) AS members, count(*) FILTER (member.state = 'trained') AS trained,
    count(*) FILTER (member.state = 'diverged') AS diverged, count(*) FILTER (member.state = 'failed') AS failed,
    max(epochs) AS epochs, count(DISTINCT parameters) AS sizes, max(parameters) AS largest_parameters
FROM member LEFT JOIN model USING (model_id) WHERE population_id = {population}
"""
POPULATIONS = """
SELECT population.population_id, population.architecture, population.dataset, population.state,
    count(member.model_id) AS members, count(*) FILTER (member.state = 'trained') AS trained,
    count(*) FILTER (member.state = 'diverged') AS diverged, max(test_accuracy) AS best_test_accuracy
FROM population LEFT JOIN member USING (population_id) LEFT JOIN models USING (model_id)
{where} GROUP BY ALL ORDER BY 1
"""


def overview(lake: Lake, population_id: str | None) -> str:
    """The overview as HTML: figures in tiles, and tables, each with its query."""
    where = "" if population_id is None else f"WHERE population.population_id = {quoted(population_id)}"
    sql = TILES if population_id is None else POPULATION_TILES.format(population=quoted(population_id))
    parts = [_tiles(lake.sql(sql), sql)]
    if population_id is None:
        parts.append(_tabled(lake, "Models by origin and hub", OVERVIEW))
    populations = POPULATIONS.format(where=where).strip()
    parts.append(_tabled(lake, "Populations", populations))
    return "\n".join(parts)


def _tiles(rows: pl.DataFrame, sql: str) -> str:
    shown = [(name, value) for name, value in rows.row(0, named=True).items() if value]
    tiles = "".join(f"<div><dt>{_counted(name, value)}</dt><dd>{short(value)}</dd></div>" for name, value in shown)
    body = f'<dl class="tiles">{tiles}</dl>' if shown else "<p>The lake is empty.</p>"
    return f'{body}<div class="more">{query(sql, "the counts")}</div>'


def _counted(name: str, value: int) -> str:
    """What a figure counts, in the singular where it is one."""
    if value == 1 and name in SINGULAR:
        return SINGULAR[name]
    return name.replace("_", " ")


def query(sql: str, of: str) -> str:
    """A query that is shown on demand; `of` says of what, for whoever only hears it."""
    said = f'<span class="of"> of {escape(of)}</span>'
    text = f'<pre tabindex="0"><code>{escape(sql.strip())}</code></pre>'
    return f'<details class="sql"><summary>SQL{said}</summary>{text}</details>'


def _tabled(lake: Lake, title: str, sql: str) -> str:
    rows = lake.sql(sql)
    if rows.is_empty():
        return ""
    return f'<h3>{title}</h3>{table(rows, title)}<div class="more">{query(sql, title)}</div>'
