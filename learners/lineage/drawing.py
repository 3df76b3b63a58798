"""Draws a family as one SVG or HTML file that needs nothing else, whatever its models are called."""

from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import networkx as nx  # type: ignore[import-untyped]  # its types are a package of their own

from learners.lineage.layout import (
    BAND_GAP,
    BOX_HEIGHT,
    BOX_WIDTH,
    HEAD,
    PADDING,
    Box,
    Drawing,
    Group,
    first_parent,
    lay_out,
)
from schemas import UsageError
from schemas.files import check_file, write_whole

LONGEST = 25  # letters that a box has room for
MARGIN = 116  # room on the left for the bands' names
TITLE = 40  # height of the title
LETTER = 10.5  # width of one of its letters at most
TOLD = ("task", "library", "license", "architecture", "parameters", "downloads")
ENDINGS = (".svg", ".html")


def check_family_file(path: Path) -> None:
    """Make the folder of a file that a family is to be drawn into, if it is not there, before any work.

    Raises:
        UsageError: the file's name ends otherwise, or it is a folder.
        OutsideError: the folder cannot be made or written to.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path.name} is no name of a drawing; it should end in {' or '.join(ENDINGS)}")
    check_file(path)


def draw_family(graph: nx.DiGraph, path: str | Path) -> Path:
    """Draw a family, as `lineage_graph` gives it for one model, into an .svg or .html file and return its path.

    Ancestors stand above the model and descendants below, a band a step, those of one parent and relation together
    and the most downloaded first. Of a family of more than 600 the nearest and most downloaded are drawn, and how
    many are not is said in their place.

    Raises:
        UsageError: the graph is not of one model, or the file's name ends otherwise.
        OutsideError: the file cannot be written.
    """
    place = Path(path)
    check_family_file(place)
    if "model_id" not in graph.graph:
        raise UsageError("only a family can be drawn: lineage_graph(lake, model_id)")
    svg = _svg(graph, lay_out(graph))
    write_whole(place, (svg if place.suffix.lower() == ".svg" else _page(graph, svg)).encode())
    return place


def family_svg(graph: nx.DiGraph, most: int, widest: float) -> str:
    """Give the drawing of a family without its title, of at most `most` models in lines of at most `widest` pixels."""
    return _svg(graph, lay_out(graph, most, widest), titled=False)


def _page(graph: nx.DiGraph, svg: str) -> str:
    template = Template(files("learners").joinpath("lineage", "family.html").read_text(encoding="utf-8"))
    return template.substitute(title=_text(graph.graph["model_id"]), drawing=svg)


def _svg(graph: nx.DiGraph, drawing: Drawing, titled: bool = True) -> str:
    style = files("learners").joinpath("lineage", "family.css").read_text(encoding="utf-8")
    boxes = {box.name: box for group in drawing.groups for box in group.boxes}
    name, title = _text(graph.graph["model_id"]), f"{graph.graph['model_id']}: a family of {len(graph):,}"
    top = TITLE if titled else 0
    width = max(drawing.width + MARGIN, (LETTER * len(title) if titled else 0) + 2 * PADDING)
    height = drawing.height + top
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="family" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="Family of {name}">',
        f"<style>{style}</style>",
        f'<rect class="sheet" width="{width:.0f}" height="{height:.0f}"/>',
        f'<text class="title" x="{PADDING}" y="26">{_text(title)}</text>' if titled else "",
        f'<g transform="translate({MARGIN} {top})">',
        *(_band(depth, y) for depth, y in drawing.bands),
        *(_frame(group) for group in drawing.groups if group.relation is not None),
        *_edges(graph, drawing, boxes),
        *(_box(graph, box) for group in drawing.groups for box in group.boxes),
        "</g></svg>",
    ]
    return "\n".join(parts)


def _text(value: object) -> str:
    """Mined text for XML and HTML: escaped, and without characters that neither may hold or that would steer it."""
    return escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value)))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _band(depth: int, y: float) -> str:
    steps = abs(depth)
    kind = "the model" if not depth else "ancestors" if depth < 0 else "descendants"
    away = f'<tspan x="{PADDING - MARGIN}" dy="15">{steps} step{"s" if steps > 1 else ""} away</tspan>' if steps else ""
    return f'<text class="band" x="{PADDING - MARGIN}" y="{y + 16:.0f}">{kind}{away}</text>'


def _frame(group: Group) -> str:
    x, y = group.x, group.y
    heading = f"{_text(group.relation or 'child')}: {group.count:,} of {_text(_short(_name(group.parent or '')))}"
    return (
        f'<rect class="group {_kind(group.relation)}" x="{x:.0f}" y="{y:.0f}" width="{group.width:.0f}"'
        f' height="{group.height:.0f}" rx="8"/>'
        f'<text class="heading" x="{x + PADDING:.0f}" y="{y + HEAD - 4:.0f}">{heading}</text>'
    )


def _kind(relation: str | None) -> str:
    """The style of a relation; only ours reach the file."""
    known = ("finetune", "adapter", "quantized", "merge", "soup")
    return next((kind for kind in known if kind in (relation or "")), "other")


def _edges(graph: nx.DiGraph, drawing: Drawing, boxes: dict[str | None, Box]) -> list[str]:
    """One line from a parent to each of its groups, and one to each single model that has other parents."""
    lines = []
    for group in drawing.groups:
        if group.relation is not None and group.parent in boxes:
            lines.append(_group_line(boxes[group.parent], group, drawing))
    for parent, child, edge in graph.edges(data=True):
        grouped = graph.nodes[child]["depth"] > 0 and first_parent(graph, child) == parent
        if parent in boxes and child in boxes and parent != child and not grouped:
            style = f"{_kind(edge['relation'])} single {'problem' if 'problem' in edge else ''}"
            lines.append(_line(boxes[parent], boxes[child].x + BOX_WIDTH / 2, boxes[child].y, style))
    return lines


def _group_line(parent: Box, group: Group, drawing: Drawing) -> str:
    """A curve from above, or for a group that stands below another one a way round at the left of both."""
    below_another = all(group.y != y for _, y in drawing.bands) and group.x == PADDING
    if not below_another:
        return _line(parent, group.x + group.width / 2, group.y, _kind(group.relation))
    x, y = parent.x + BOX_WIDTH / 4, parent.y + BOX_HEIGHT
    way = f"M{x:.0f} {y:.0f}v{BAND_GAP / 4:.0f}H{-PADDING}V{group.y + HEAD / 2:.0f}H{group.x:.0f}"
    return f'<path class="edge {_kind(group.relation)}" d="{way}"/>'


def _line(parent: Box, x: float, y: float, style: str) -> str:
    begin_x, begin_y = parent.x + BOX_WIDTH / 2, parent.y + BOX_HEIGHT
    bend = max(24.0, abs(y - begin_y) / 2)
    curve = f"M{begin_x:.0f} {begin_y:.0f}C{begin_x:.0f} {begin_y + bend:.0f} {x:.0f} {y - bend:.0f} {x:.0f} {y:.0f}"
    return f'<path class="edge {style}" d="{curve}"/>'


def _box(graph: nx.DiGraph, box: Box) -> str:
    if box.name is None:
        return f'<text class="rest" x="{box.x + BOX_WIDTH / 2:.0f}" y="{box.y + 25:.0f}">and {box.hidden:,} more</text>'
    node: dict[str, Any] = graph.nodes[box.name]
    style = "model" + (" chosen" if not node["depth"] else "") + ("" if node["known"] else " unknown")
    told = [f"{key}: {_text(node[key])}" for key in TOLD if key in node] or ["not in this lake"]
    told += [
        f"{edge['problem']}: {_text(parent)}" for parent, edge in graph.pred[box.name].items() if "problem" in edge
    ]
    flag = '<tspan class="flag"> ⚠</tspan>' if any("problem" in edge for edge in graph.pred[box.name].values()) else ""
    drawn = (
        f'<g class="{style}"><title>{_text(box.name)}\n{chr(10).join(told)}</title>'
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5"/>'
        f'<svg x="{box.x:.0f}" y="{box.y:.0f}" width="{BOX_WIDTH - 4}" height="{BOX_HEIGHT}">'  # cuts off what is wider
        f'<text x="8" y="17">{_text(_short(_name(box.name)))}{flag}</text>'
        f'<text class="detail" x="8" y="32">{_text(_short(_detail(box.name, node)))}</text>'
        "</svg></g>"
    )
    link = _link(box.name)
    return f'<a href="{link}" target="_blank" rel="noopener noreferrer">{drawn}</a>' if link else drawn


def _name(model_id: str) -> str:
    return model_id.partition(":")[2].rpartition("/")[2] or model_id


def _detail(model_id: str, node: dict[str, Any]) -> str:
    owner = model_id.partition(":")[2].rpartition("/")[0] or model_id.partition(":")[0]
    downloads = node.get("downloads")
    return f"{owner[:16]} · {downloads:,} ↓" if downloads is not None else owner


def _link(model_id: str) -> str | None:
    hub, _, name = model_id.partition(":")
    return f"https://huggingface.co/{quote(name)}" if hub == "huggingface" else None
