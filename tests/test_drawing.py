"""A family's drawing: every model in its place, nothing of a name runs, and a browser shows it."""

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx  # type: ignore[import-untyped]  # its types are a package of their own
import pytest

from learners import draw_family
from learners.lineage.layout import BOX_HEIGHT, BOX_WIDTH, MOST_SHOWN, lay_out
from schemas import OutsideError, UsageError
from tests.chromium import opened_in_chromium

HOSTILE = "huggingface:a/</title></svg><script>document.title='owned'</script>\x00\x1b\"'&"


def family(children: int, grandchildren: int = 0) -> nx.DiGraph:
    """One base, its parent, its finetunes, and adapters of those; the last grandchild has two parents."""
    graph = nx.DiGraph(model_id="huggingface:a/base")
    graph.add_node("huggingface:a/base", depth=0, known=True, downloads=5)
    graph.add_node("init:seed", depth=-1, known=False)
    graph.add_edge("init:seed", "huggingface:a/base", relation="initialised-from")
    for number in range(children):
        graph.add_node(f"huggingface:b/child-{number}", depth=1, known=True, downloads=number)
        graph.add_edge("huggingface:a/base", f"huggingface:b/child-{number}", relation="finetune")
    for number in range(grandchildren):
        graph.add_node(f"huggingface:c/grandchild-{number}", depth=2, known=True)
        parent = f"huggingface:b/child-{number % children}"
        graph.add_edge(parent, f"huggingface:c/grandchild-{number}", relation="adapter")
    return graph


@pytest.mark.parametrize(("children", "grandchildren"), [(0, 0), (1, 1), (7, 30), (200, 100)])
def test_every_model_has_a_place_of_its_own(children: int, grandchildren: int) -> None:
    graph = family(children, grandchildren)
    drawing = lay_out(graph)
    boxes = [box for group in drawing.groups for box in group.boxes]
    assert sorted(box.name or "" for box in boxes) == sorted(graph)
    for one, other in combinations(boxes, 2):
        assert abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
    depth = {box.name: graph.nodes[box.name]["depth"] for box in boxes}
    for one, other in combinations(boxes, 2):
        if depth[one.name] < depth[other.name]:
            assert one.y + BOX_HEIGHT < other.y
    assert all(box.x + BOX_WIDTH <= drawing.width and box.y + BOX_HEIGHT <= drawing.height for box in boxes)
    for group in drawing.groups:
        inside = [graph.nodes[box.name].get("downloads", 0) for box in group.boxes]
        assert inside == sorted(inside, reverse=True)


def test_of_a_large_family_the_rest_is_counted() -> None:
    graph = family(MOST_SHOWN, 5000)
    drawing = lay_out(graph)
    boxes = [box for group in drawing.groups for box in group.boxes]
    shown = [box for box in boxes if box.name]
    assert len(shown) == MOST_SHOWN
    assert sum(group.count for group in drawing.groups if group.relation == "finetune") == MOST_SHOWN
    assert sum(box.hidden for box in boxes) == len(graph) - MOST_SHOWN
    assert [group.parent for group in drawing.groups if group.relation == "adapter"] != []


def test_names_from_hubs_cannot_run_in_the_drawing(tmp_path: Path) -> None:
    graph = family(3)
    graph.add_node(HOSTILE, depth=1, known=True, task=HOSTILE, downloads=1)
    graph.add_edge("huggingface:a/base", HOSTILE, relation=HOSTILE, problem="cycle")
    for ending in ("svg", "html"):
        text = draw_family(graph, tmp_path / "deep" / f"family.{ending}").read_text(encoding="utf-8")
        assert "<script" not in text
        assert not re.search(r"[\x00-\x08\x0b-\x1f]", text)
        assert text.count("</title>") == text.count("<title>")
    drawn = ElementTree.parse(tmp_path / "deep" / "family.svg")
    titles = [title.text or "" for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert sum("document.title='owned'" in title for title in titles) == 1
    page = (tmp_path / "deep" / "family.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img|iframe|image|use)[^>]+(src|href)=[\"']?(https?:)?//", page)


def test_no_name_leaves_its_box_whatever_the_font(tmp_path: Path) -> None:
    """Each box holds its texts in a viewport of its own, which SVG cuts off at its edge."""
    graph = family(3)
    root = ElementTree.fromstring(draw_family(graph, tmp_path / "family.svg").read_text(encoding="utf-8"))
    space = {"svg": "http://www.w3.org/2000/svg"}
    boxes = [box for box in root.iterfind(".//svg:g", space) if "model" in box.get("class", "").split()]
    assert len(boxes) == len(graph)
    for box in boxes:
        frame, holder = box.find("svg:rect", space), box.find("svg:svg", space)
        assert frame is not None
        assert holder is not None
        assert box.findall("svg:text", space) == []
        assert holder.get("x") == frame.get("x")
        assert float(holder.get("width", "inf")) <= float(frame.get("width", "0"))


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"family\.png is no name of a drawing"):
        draw_family(family(1), tmp_path / "family.png")
    with pytest.raises(UsageError, match="only a family"):
        draw_family(nx.DiGraph(), tmp_path / "family.svg")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutsideError, match="cannot write"):
        draw_family(family(1), tmp_path / "file" / "family.svg")


@pytest.mark.browser
def test_a_browser_shows_the_family_and_runs_nothing(tmp_path: Path) -> None:
    graph = family(12, 30)
    graph.add_node(HOSTILE, depth=1, known=True)
    graph.add_edge("huggingface:a/base", HOSTILE, relation="merge")
    dom, console = opened_in_chromium(draw_family(graph, tmp_path / "family.html"))
    assert "<title>Family of huggingface:a/base</title>" in dom
    assert dom.count('class="model') == len(graph)
    assert console == []
