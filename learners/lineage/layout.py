"""Where the models of a family stand in its drawing: a band for each depth, a group for each parent and relation."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import networkx as nx  # type: ignore[import-untyped]  # its types are a package of their own

MOST_SHOWN = 600  # models; of a larger family the nearest and most downloaded
BOX_WIDTH, BOX_HEIGHT, GAP = 208, 40, 8
HEAD = 22  # height of the line above a group's boxes
PADDING = 8
BAND_GAP = 64
WIDEST = 1500
MOST_COLUMNS = 6


@dataclass(frozen=True)
class Box:
    """A model in the drawing; x and y are its upper left corner in pixels. Without a name it stands for the rest."""

    name: str | None
    x: float
    y: float
    hidden: int = 0


@dataclass(frozen=True)
class Group:
    """Models of one depth that have the same parent and relation; without a relation they have no frame."""

    parent: str | None
    relation: str | None
    boxes: tuple[Box, ...]
    x: float
    y: float
    width: float
    height: float
    count: int


@dataclass(frozen=True)
class Drawing:
    """Groups and the size of the sheet in pixels, `bands` being (depth, y) of each band from above."""

    groups: tuple[Group, ...]
    bands: tuple[tuple[int, float], ...]
    width: float
    height: float


@dataclass(frozen=True)
class _Kin:
    """The models of a group before they have a place."""

    parent: str | None
    relation: str | None
    names: tuple[str, ...]
    hidden: int


def lay_out(graph: nx.DiGraph, most: int = MOST_SHOWN, widest: float = WIDEST) -> Drawing:
    """Place a family, as `lineage_graph` gives it, in bands from its farthest ancestors down to its descendants.

    Of more than `most` models the nearest and most downloaded have a place; no line of groups that could be broken is
    wider than `widest` pixels.
    """
    shown = sorted(graph, key=lambda name: (abs(graph.nodes[name]["depth"]), -popularity(graph, name), name))
    depths = defaultdict(list)
    for place, name in enumerate(shown):
        depths[graph.nodes[name]["depth"]].append((name, place < most))
    groups: list[Group] = []
    bands: list[tuple[int, float]] = []
    y = float(PADDING)
    for depth in sorted(depths):
        placed, y_end = _band(_kin(graph, depth, depths[depth], groups), y, widest)
        groups += placed
        bands.append((depth, y))
        y = y_end + BAND_GAP
    width = max(group.x + group.width for group in groups) + PADDING
    return Drawing(tuple(groups), tuple(bands), width, y - BAND_GAP + PADDING)


def popularity(graph: nx.DiGraph, name: str) -> int:
    """Give the downloads of a model, 0 where they are not known."""
    return int(graph.nodes[name].get("downloads") or 0)


def first_parent(graph: nx.DiGraph, name: str) -> str | None:
    """Give the parent by which a descendant was found: the one that is one step nearer, the first by name."""
    depth = graph.nodes[name]["depth"]
    nearer = [parent for parent in graph.pred[name] if graph.nodes[parent]["depth"] == depth - 1]
    found: str | None = min(nearer, default=None)
    return found


def _kin(graph: nx.DiGraph, depth: int, models: list[tuple[str, bool]], above: list[Group]) -> Iterator[_Kin]:
    """Give the groups of a band, in the order of their parents in the band above; ancestors stand alone."""
    if depth <= 0:
        yield from (_Kin(None, None, (name,), 0) for name, kept in models if kept)
        hidden = sum(not kept for _, kept in models)
        if hidden:
            yield _Kin(None, None, (), hidden)
        return
    places = {box.name: place for place, box in enumerate(box for group in above for box in group.boxes)}
    keyed = [(*_key(graph, name), name, kept) for name, kept in models]
    keyed.sort(key=lambda each: (places.get(each[0], len(places)), each[0] or "", each[1]))
    of_hidden = 0
    for (parent, relation), found in groupby(keyed, key=lambda each: (each[0], each[1])):
        together = list(found)
        names = tuple(name for _, _, name, kept in together if kept)
        if parent in places:
            yield _Kin(parent, relation, names, len(together) - len(names))
        else:
            of_hidden += len(together)
    if of_hidden:
        yield _Kin(None, None, (), of_hidden)


def _key(graph: nx.DiGraph, name: str) -> tuple[str | None, str]:
    parent = first_parent(graph, name)
    edge: dict[str, Any] = graph.get_edge_data(parent, name) or {}
    return parent, str(edge.get("relation", ""))


def _band(kin: Iterator[_Kin], y: float, widest: float) -> tuple[list[Group], float]:
    """Place groups from left to right, in as many lines as they need; also give where the band ends."""
    placed: list[Group] = []
    x, line_end = float(PADDING), y
    for each in kin:
        columns = _columns(len(each.names) + bool(each.hidden), widest)
        width, height = _size(each, columns)
        if placed and x + width > widest:
            x, y = float(PADDING), line_end + GAP
        placed.append(_placed(each, x, y, width, height, columns))
        x += width + GAP
        line_end = max(line_end, y + height)
    return placed, line_end


def _columns(cells: int, widest: float) -> int:
    room = int((widest - 2 * PADDING) // (BOX_WIDTH + GAP))
    return max(1, min(MOST_COLUMNS, room, round(math.sqrt(cells))))


def _size(kin: _Kin, columns: int) -> tuple[float, float]:
    cells = len(kin.names) + bool(kin.hidden)
    lines = -(-cells // columns)
    frame = PADDING if kin.relation is not None else 0
    width = columns * (BOX_WIDTH + GAP) - GAP + 2 * frame
    return width, lines * (BOX_HEIGHT + GAP) - GAP + 2 * frame + (HEAD if frame else 0)


def _placed(kin: _Kin, x: float, y: float, width: float, height: float, columns: int) -> Group:
    frame = PADDING if kin.relation is not None else 0
    left, top = x + frame, y + frame + (HEAD if frame else 0)
    names: list[str | None] = [*kin.names, *([None] if kin.hidden else [])]
    boxes = tuple(
        Box(
            name,
            left + place % columns * (BOX_WIDTH + GAP),
            top + place // columns * (BOX_HEIGHT + GAP),
            0 if name else kin.hidden,
        )
        for place, name in enumerate(names)
    )
    return Group(kin.parent, kin.relation, boxes, x, y, width, height, len(kin.names) + kin.hidden)
