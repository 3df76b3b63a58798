"""Writes a lake's report: one HTML file with pictures that opens from disk without internet."""

import json
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

import altair
import polars as pl
import vl_convert

from learners import charts
from learners.charts import Picture
from learners.phase_chart import phase_maps
from learners.stitching.pareto_chart import stitch_pictures
from learners.stitching.penalty_chart import penalty_pictures
from schemas import Lake
from schemas.files import written_whole

OVERVIEW = """
SELECT origin, hub, count(*) AS models, count(parameters) AS with_parameters, sum(parameters)::BIGINT AS parameters
FROM models WHERE deleted_at IS NULL GROUP BY ALL ORDER BY ALL
"""
SNIPPET = "window.vegaEmbed = vegaEmbed;"
SECTIONS = (
    charts.accuracy_grid,
    phase_maps,
    charts.training_curves,
    charts.soup_comparison,
    charts.compared_soups,
    penalty_pictures,
    stitch_pictures,
    charts.mined_models,
    charts.coverage,
)


def report(lake: Lake, path: str | Path) -> Path:
    """Write the report of everything in `lake` to `path` and return it.

    Every picture carries the SQL query that it was drawn from. Names and texts from hubs are escaped.

    Raises:
        OutsideError: the file cannot be written.
    """
    pictures = [picture for section in SECTIONS for picture in section(lake)]
    page = Template(files("learners").joinpath("page.html").read_text(encoding="utf-8")).substitute(
        lake=escape(lake.path.resolve().name),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=version("weightlake"),
        overview=_table(lake.sql(OVERVIEW)),
        pictures="\n".join(_section(number, picture) for number, picture in enumerate(pictures)),
        specifications=_script([picture.specification for picture in pictures]),
        library=_library(),
    )
    with written_whole(Path(path)) as beside:
        beside.write_text(page, encoding="utf-8")
    return Path(path)


def _section(number: int, picture: Picture) -> str:
    return f"""<section aria-labelledby="title-{number}">
<h2 id="title-{number}">{escape(picture.title)}</h2>
<p>{escape(picture.says)}</p>
<div class="chart" id="chart-{number}"></div>
<details><summary>SQL</summary><pre><code>{escape(picture.sql)}</code></pre></details>
</section>"""


def _table(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return "<p>The lake is empty.</p>"
    head = "".join(f"<th scope='col'>{escape(name.replace('_', ' '))}</th>" for name in rows.columns)
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows.iter_rows())
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return "&ndash;"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _script(value: object) -> str:
    """JSON that is safe inside a script element."""
    return json.dumps(value).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, in the version that the charts were written for."""
    bundle: str = vl_convert.javascript_bundle(
        SNIPPET, vl_version=".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    )
    return bundle.replace("</script", "<\\/script")
