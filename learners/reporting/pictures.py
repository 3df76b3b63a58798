"""The report's pictures as SVG files, drawn without a browser."""

import copy
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import altair
import vl_convert

from learners.reporting.figure import Figure, Panel
from schemas.files import write_whole

WIDTH = 560
MARGIN = 30


def theme() -> dict[str, dict[str, Any]]:
    """Vega-Lite's configuration for light and for dark, and what both share."""
    text = files("learners").joinpath("reporting", "theme.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def write_pictures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write each panel of each figure into a file of its own, numbered in the report's order; gives the files.

    Raises:
        OutsideError: a file cannot be written.
    """
    written = []
    number = 0
    for figure in figures:
        drawn = [(figure.title, figure.drawing)] if figure.drawing else []
        drawn += [(f"{figure.title} {panel.title}", _svg(panel)) for panel in figure.panels]
        for title, svg in drawn:
            number += 1
            place = folder / f"{number:03}-{_file_name(title)}.svg"
            write_whole(place, svg.encode())
            written.append(place)
    return written


def _file_name(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:70]


def _svg(panel: Panel) -> str:
    """A panel in light colours on white, as wide as a column of the page."""
    specification = {**copy.deepcopy(panel.specification), "width": WIDTH, "background": "white"}
    if panel.title:
        specification["title"] = {"text": panel.title, "anchor": "start", "fontSize": 13}
    config = merged(merged(theme()["both"], theme()["light"]), {"background": "white"})
    if room := panel.specification.get("usermeta", {}).get("legendColumn"):
        config["legend"]["columns"] = max(1, (WIDTH - MARGIN) // room)
    specification["config"] = config
    svg: str = vl_convert.vegalite_to_svg(
        specification, vl_version=".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    )
    return svg


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two trees of settings as one; where both say something the other holds."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = merged(one[key], other[key])
    return both
