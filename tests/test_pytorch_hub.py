import re
import tarfile
from pathlib import Path

import pytest

from miners.catalogue import Described
from miners.crawl import Crawl
from miners.mining import mine
from miners.pytorch_hub.repository import describe, wanted
from schemas import Lake, open_lake
from schemas.doctor import examine

FRONT = """---
layout: hub_detail
title: Net
summary: A net
author: Somebody
tags: [vision, scriptable]
github-link: https://github.com/o/r/blob/main/net.py
github-id: o/r
accelerator: \N{LEFT DOUBLE QUOTATION MARK}cuda\N{RIGHT DOUBLE QUOTATION MARK}
---
"""
PAGE = (
    FRONT
    + """
```python
model = torch.hub.load('o/r:v1.0', 'net18', pretrained=True)
# model = torch.hub.load('o/r:v1.0', 'net34', pretrained=True)
# model = torch.hub.load('o/r:v1.0',
#                        'net50', pretrained=True)
```
Text that says torch.hub.load('o/r', 'nothing') outside of code.
```python
which = "netS"
#which = "netL"
other = torch.hub.load(repo_or_dir='p/q', model=which)
lost = torch.hub.load('o/r', unset)
```
Error rates on ImageNet are listed below.

| Model | Top-1 error | Params (M) | Note |
| --- | --- | --- | --- |
| `Net18` | **30.24** | 11.7 | good |
| another | 1.0 | 2 | bad |

See [the paper](https://arxiv.org/abs/1512.03385).
"""
)


def described(**pages: str) -> Described:
    return describe({f"{name}.md": text.encode() for name, text in pages.items()})


def test_a_page_is_a_package_and_its_entry_points_are_models() -> None:
    found = described(o_r_net=PAGE)
    page, *models = found.packages
    assert page.name == "o_r_net"
    assert {one.name: one.value for one in page.statements} == {
        "title": "Net",
        "summary": "A net",
        "author": "Somebody",
        "repository": "o/r",
        "accelerator": "cuda",
    }
    assert [tag for tag, _ in page.tags] == ["vision", "scriptable"]
    assert [model.name for model in models] == ["o/r/net18", "o/r/net34", "o/r/net50", "p/q/netS", "p/q/netL"]
    assert page.problems == ["torch.hub.load('o/r', unset: unset is not set in this code"]


def test_an_entry_point_has_its_evidence_its_pages_papers_and_its_row_of_results() -> None:
    model = described(o_r_net=PAGE).packages[1]
    said = {one.name: one for one in model.statements}
    assert said["entry_point"].evidence == "torch.hub.load('o/r:v1.0', 'net18'"
    assert (said["revision"].value, said["Params (M)"].number) == ("v1.0", 11.7)
    assert ("paper", "1512.03385", "page") in model.links
    assert ("page", "pytorch_hub:o_r_net", "listing") in model.links
    (score,) = model.scores
    assert (score.metric, score.value, score.dataset) == ("Top-1 error", 30.24, "ImageNet")
    assert score.evidence is not None
    assert score.evidence.startswith("Error rates on ImageNet are listed below.\n| `Net18` | **30.24**")


def test_an_entry_point_of_two_pages_is_one_model() -> None:
    found = described(one=PAGE, two=PAGE)
    model = next(package for package in found.packages if package.name == "o/r/net18")
    assert [target for kind, target, _ in model.links if kind == "page"] == ["pytorch_hub:one", "pytorch_hub:two"]
    assert len(found.packages) == 2 + 5


@pytest.mark.parametrize("text", ["", "# No front matter", "---\n[1, 2]\n---\n", "---\na: [\n---\n", "---\na: 1\n"])
def test_a_page_without_front_matter_is_lost_and_said(text: str) -> None:
    found = described(odd=text)
    assert (found.packages, len(found.lost)) == ([], 1)
    assert found.lost[0].reason.startswith("no page of a model: ")


def test_pages_that_are_no_models_are_left_out() -> None:
    assert [wanted(path, 1) for path in ("README.md", "docs/template.md", "CONTRIBUTING.md", "x.md")] == [
        False,
        False,
        False,
        True,
    ]


Mined = tuple[Lake, Crawl, dict[str, str]]


@pytest.fixture(scope="module")
def mined(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mined:
    packed = data_folder / "hubs" / "pytorch_hub" / "pytorch_hub.tar.gz"
    checkout = tmp_path_factory.mktemp("checkout")
    with tarfile.open(packed) as opened:
        opened.extractall(checkout, filter="data")
    pages = {place.stem: place.read_text(encoding="utf-8") for place in checkout.glob("*.md")}
    lake = open_lake(tmp_path_factory.mktemp("lakes") / "lake")
    return lake, mine(lake, "pytorch_hub", source=checkout), pages


@pytest.mark.data
def test_all_pages_and_entry_points_are_stored(mined: Mined) -> None:
    lake, crawl, pages = mined
    assert lake.sql("SELECT count(*) FROM model WHERE owner IS NULL").item() == 52 == len(pages) - 3
    spelled = "SELECT count(DISTINCT model_id) FROM statement WHERE name = 'entry_point' AND evidence {} LIKE '%;%'"
    assert lake.sql(spelled.format("NOT")).item() == 111
    assert lake.sql(spelled.format("")).item() == 7  # named by a variable of the same code
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (52 + 118, 52 + 118, 0)
    assert lake.sql("SELECT DISTINCT stage FROM failure")["stage"].to_list() == ["result"]
    assert examine(lake).is_empty()


@pytest.mark.data
def test_the_entry_points_are_those_that_a_plain_search_finds(mined: Mined) -> None:
    lake, _, pages = mined
    found = {
        (match[1].split(":")[0], match[2])
        for name, text in pages.items()
        if name not in ("README", "CONTRIBUTING", "CODE_OF_CONDUCT")
        for match in re.finditer(
            r"torch\.hub\.load\(\s*#?\s*(?:repo_or_dir=)?[\"']([^\"']+)[\"'],\s*#?\s*(?:model=)?[\"']([^\"']+)[\"']",
            text,
        )
    }
    stored = lake.sql("SELECT owner, name FROM model WHERE owner IS NOT NULL")
    assert len(found) == 111
    assert found <= set(stored.iter_rows())


@pytest.mark.data
def test_all_that_the_front_matter_says_is_there(mined: Mined) -> None:
    lake, _, pages = mined
    titles = {
        name: match[1].strip(' "') for name, text in pages.items() if (match := re.search(r"(?m)^title:(.*)$", text))
    }
    stored = lake.sql("SELECT replace(model_id, 'pytorch_hub:', ''), value FROM statement WHERE name = 'title'")
    assert dict(stored.iter_rows()) == titles
    for name in ("summary", "author", "repository"):
        assert lake.sql("SELECT count(*) FROM statement WHERE name = $name", name=name).item() == 52
    assert lake.sql("SELECT count(*) FROM card WHERE metadata IS NOT NULL").item() == 52


@pytest.mark.data
def test_every_number_stands_in_its_page(mined: Mined) -> None:
    lake, _, pages = mined
    scores = lake.sql("SELECT source, evidence, value_text FROM evaluation").rows()
    assert len(scores) > 85
    for source, evidence, text in scores:
        page = pages[source.removesuffix(".md")]
        assert all(line in page for line in evidence.split("\n"))
        assert text in evidence
