"""Writes the report: one HTML file of a lake or of a population, and its pictures as SVG files beside it if wanted."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files
from math import isfinite
from pathlib import Path
from string import Template

import altair
import vl_convert

from learners.landscape.phases.population import population_named
from learners.reporting.families import family_section
from learners.reporting.figure import Figure, Panel, Section
from learners.reporting.hubs import mined_section
from learners.reporting.overview import overview, query
from learners.reporting.pictures import theme, write_pictures
from learners.reporting.populations import population_sections
from learners.reporting.soups import soup_section
from learners.reporting.stitching import stitching_section
from learners.reporting.table import table
from schemas import Lake
from schemas.files import written_whole

SNIPPET = "window.vegaEmbed = vegaEmbed;"
MOST_POPULATIONS = 8


def report(lake: Lake, path: str | Path, population: str | None = None, pictures: str | Path | None = None) -> Path:
    """Write the report of everything in `lake`, or of one population, to `path` and return it.

    Every figure carries the SQL query that it was drawn from, and what it answered as a table. The queries aggregate,
    so that the file stays small whatever the lake; where that is not enough the report says what it left out. Names
    and texts from hubs are escaped.

    Args:
        lake: What to report on; it is only read.
        path: The HTML file.
        population: A population_id, or a recipe's name of which one population is there: report on it alone.
        pictures: A folder that gets every picture as an SVG file, too.

    Raises:
        UsageError: there is no such population.
        OutsideError: a file cannot be written.
    """
    population_id = None if population is None else population_named(lake, population)
    sections, notes = _sections(lake, population_id)
    page = _page(lake, population_id, overview(lake, population_id) + notes, sections)
    with written_whole(Path(path)) as beside:
        beside.write_text(page, encoding="utf-8")
    if pictures is not None:
        write_pictures([figure for section in sections for figure in section.figures], Path(pictures))
    return Path(path)


def _sections(lake: Lake, population_id: str | None) -> tuple[list[Section], str]:
    populations, known = population_sections(lake, population_id, MOST_POPULATIONS)
    mined = [] if population_id else [mined_section(lake), family_section(lake)]
    sections = [*mined, *populations, soup_section(lake, population_id), stitching_section(lake, population_id)]
    left = known - len(populations)
    note = (
        f"<p>Of {known} populations the newest {len(populations)} have a section here;"
        " <code>weightlake report --population NAME</code> reports on another one.</p>"
    )
    return [section for section in sections if section.figures], note if left > 0 else ""


def _page(lake: Lake, population_id: str | None, first: str, sections: Sequence[Section]) -> str:
    panels = [each for section in sections for figure in section.figures for each in figure.panels]
    name = lake.path.resolve().name if population_id is None else population_id
    folder = files("learners").joinpath("reporting")
    read = {part: folder.joinpath(f"page.{part}").read_text(encoding="utf-8") for part in ("html", "css", "js")}
    return Template(read["html"]).substitute(
        name=escape(name),
        kind="lake" if population_id is None else "population",
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=version("weightlake"),
        overview=first,
        contents=_contents(sections),
        sections="\n".join(_numbered(sections)),
        specifications=_script([each.specification for each in panels]),
        theme=_script(theme()),
        style=read["css"],
        script=read["js"],
        library=_library(),
    )


def _contents(sections: Sequence[Section]) -> str:
    links = ['<li><a href="#overview">Overview</a></li>']
    for number, section in enumerate(sections):
        inner = "".join(
            f'<li><a href="#figure-{number}-{place}">{escape(figure.title)}</a></li>'
            for place, figure in enumerate(section.figures)
        )
        links.append(f'<li><a href="#section-{number}">{escape(section.title)}</a><ul>{inner}</ul></li>')
    return "".join(links)


def _numbered(sections: Sequence[Section]) -> Iterator[str]:
    """Each section as HTML; charts are numbered through the whole page."""
    chart = 0
    for number, section in enumerate(sections):
        figures = []
        for place, figure in enumerate(section.figures):
            figures.append(_figure(f"figure-{number}-{place}", chart, figure))
            chart += len(figure.panels)
        says = f"<p>{escape(section.says)}</p>" if section.says else ""
        yield (
            f'<section id="section-{number}" aria-labelledby="heading-{number}">'
            f'<h2 id="heading-{number}">{escape(section.title)}</h2>{says}'
            f'<div class="figures">{"".join(figures)}</div></section>'
        )


def _figure(name: str, chart: int, figure: Figure) -> str:
    panels = "".join(_panel(chart + place, each, figure) for place, each in enumerate(figure.panels))
    drawing = _drawing(figure) if figure.drawing else ""
    width = " half" if figure.layout == "half" else ""
    return (
        f'<article class="figure{width}" id="{name}" aria-labelledby="{name}-title">'
        f'<h3 id="{name}-title">{escape(figure.title)}</h3><p class="finding">{escape(figure.finding)}</p>'
        f'<p class="says">{escape(figure.says)}</p><div class="panels {figure.layout}">{panels}{drawing}</div>'
        '<div class="more"><details class="data">'
        f'<summary>Table<span class="of"> of {escape(figure.title)}</span></summary>'
        f"{table(figure.rows, figure.title)}</details>{query(figure.sql, figure.title)}</div></article>"
    )


def _panel(number: int, panel: Panel, figure: Figure) -> str:
    swatch = f'<span class="swatch" style="background:{panel.colour}"></span>' if panel.colour else ""
    title = f"<h4>{swatch}{escape(panel.title)}</h4>" if panel.title else "<span></span>"
    told = ". ".join(filter(None, [figure.title, panel.title, panel.finding or figure.finding]))
    height = panel.specification["height"]
    return (
        f'<div class="panel"><div class="head">{title}{_download(figure.title, panel.title)}</div>'
        f'<div role="img" aria-label="{escape(told, quote=True)}">'
        f'<div class="chart" id="chart-{number}" style="min-height:{height}px"></div></div></div>'
    )


def _drawing(figure: Figure) -> str:
    said = escape(f"{figure.title}, drawing", quote=True)
    return (
        f'<div class="panel"><div class="head"><span></span>{_download(figure.title, "")}</div>'
        f'<div class="drawing scroll" tabindex="0" role="region" aria-label="{said}">{figure.drawing}</div></div>'
    )


def _download(figure: str, panel: str) -> str:
    name = escape(": ".join(filter(None, [figure, panel])), quote=True)
    return f'<button type="button" class="save" data-name="{name}" aria-label="Save as SVG: {name}">SVG ↓</button>'


def _script(value: object) -> str:
    """JSON that is safe inside a script element; figures that are not finite, which JSON lacks, are null."""
    return (
        json.dumps(_finite(value), allow_nan=False)
        .replace("<", "\\u003c")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


@cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, in the version that the charts were written for."""
    bundle: str = vl_convert.javascript_bundle(
        SNIPPET, vl_version=".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    )
    return bundle.replace("</script", "<\\/script")
