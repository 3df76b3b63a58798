"""The documentation's site: links lead somewhere, nothing is fetched from elsewhere, its search works from disk."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from docs.site_pages import notebook_page, relinked
from tests.chromium import opened_in_chromium
from tests.conftest import ROOT

FETCHED = re.compile(
    r"<(?:script|img|iframe|link(?= [^>]*rel=\"?(?:stylesheet|preload|icon)))[^>]*(?:src|href)=\"([^\"]+)\""
)
LINKED = re.compile(r"\]\((https?:[^)\s]*)\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a page outside of the navigation or a link that leads nowhere would end the build."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    names = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"changes", "contributing"}
    names |= {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    for name in names:
        assert (site / f"{name}.html").stat().st_size > 1000, name
    assert (site / "files/learners/landscape/phases/rules/taxonomy.toml").exists()
    assert not list(site.rglob("*.py"))


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = FETCHED.findall(text)
        assert len(fetched) >= 3
        for address in fetched:
            assert not urlsplit(address).netloc, f"{page.name} fetches {address}"
    assert "fonts.g" not in (site / "index.html").read_text(encoding="utf-8")


def test_links_to_other_sites_are_well_formed() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]
    links = [link for page in pages for link in LINKED.findall(page.read_text(encoding="utf-8"))]
    assert links
    for link in links:
        assert urlsplit(link).scheme == "https", link
        assert "." in urlsplit(link).netloc, link


@pytest.mark.browser
def test_the_search_works_in_a_page_opened_from_disk(site: Path) -> None:
    """A browser that has no internet finds the page of the word that its address asks for."""
    page = site / "notebooks" / "asked.html"
    text = (site / "notebooks" / "01_mine_a_hub.html").read_text(encoding="utf-8")
    asking = '<head><script>if (!location.search) location.search = "?q=permutations"</script>'
    page.write_text(text.replace("<head>", asking, 1), encoding="utf-8")
    dom, console = opened_in_chromium(page)
    found = re.findall(r'<a href="[^"]*?([\w-]+)\.html[^"]*" class="md-search-result__link"', dom)
    assert "api" in found
    assert console == []


def test_a_notebook_becomes_a_page_with_what_it_has_shown() -> None:
    table = '<div><style>x</style><small>shape</small><table border="1"><thead><tr><th>a</th></tr><tr><td>str</td></tr>'
    table += "</thead><tbody><tr><td>&quot;b&quot;</td></tr></tbody></table></div>"
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "Text."]},
        {"cell_type": "code", "source": "1 + 1", "outputs": [{"data": {"text/plain": "2"}}]},
        {"cell_type": "code", "source": "rows", "outputs": [{"data": {"text/html": [table], "text/plain": "rows"}}]},
        {"cell_type": "code", "source": "draw()", "outputs": [{"data": {"image/svg+xml": ["<svg", "/>"]}}]},
        {"cell_type": "code", "source": "print(3)", "outputs": [{"name": "stdout", "text": "3\n"}]},
    ]
    page, pictures = notebook_page({"cells": cells}, "00_title")
    assert page.startswith("# Title\nText.\n\n```python\n1 + 1\n```\n\n```text\n2\n```\n")
    assert "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>b</td></tr></tbody></table>" in page
    assert "![What this cell draws](00_title-1.svg)" in page
    assert pictures == {"00_title-1.svg": "<svg/>"}
    assert page.endswith("```python\nprint(3)\n```\n\n```text\n3\n```\n")


def test_links_lead_to_where_things_stand_in_the_site() -> None:
    assert relinked("[a](02_b.ipynb) [c](../docs/d.md#e)", "notebooks/01_a.ipynb", "notebooks/01_a.md") == (
        "[a](02_b.md) [c](../d.md#e)"
    )
    assert relinked("[a](docs/b.md) [c](https://d.e/f.md)", "CHANGELOG.md", "changes.md") == (
        "[a](b.md) [c](https://d.e/f.md)"
    )
