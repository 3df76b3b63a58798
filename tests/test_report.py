"""The report: self-contained, safe, complete, and drawn by a real browser."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from learners import phases_of_population, report
from schemas import Lake, OutsideError

HOSTILE = "</script><script>document.title='owned'</script>"


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """A lake with a small grid, its curves, a soup and mined models of which one has a hostile task."""
    members = [(width, batch, seed) for width in (2, 4) for batch in (16, 64) for seed in (0, 1)]
    names = [f"zoo:tiny-0/w{width}-b{batch}-s{seed}" for width, batch, seed in members]
    curve = [
        {"model_id": name, "epoch": epoch, "split": split, "metric": "accuracy", "value": 0.5 + epoch / 10}
        for name in names
        for epoch in (1, 2, 3)
        for split in ("train", "validation", "test")
    ]
    soup = [
        {"model_id": "made:soup/x", "metric": "accuracy", "split": "test", "value": value, "standard_error": 0.01}
        | {"samples": 270, "settings": f'{{"candidate": "{candidate}"}}'}
        for candidate, value in (("soup", 0.9), ("best single", 0.8), ("mean member", 0.7), ("logit ensemble", 0.95))
    ]
    grid = pl.DataFrame(members, schema=["width", "batch_size", "seed"], orient="row")
    with lake.write() as transaction:
        transaction.append("population", pl.DataFrame({"population_id": [HOSTILE], "name": ["tiny"]}))
        transaction.append("model", pl.DataFrame({"model_id": names, "hub": "zoo", "parameters": 100}))
        transaction.append(
            "member",
            grid.with_columns(model_id=pl.Series(names), population_id=pl.lit(HOSTILE), state=pl.lit("trained")),
        )
        transaction.append("training", pl.DataFrame(curve))
        transaction.append("model", pl.DataFrame({"model_id": ["made:soup/x"], "hub": ["made"]}))
        transaction.append("product", pl.DataFrame({"model_id": ["made:soup/x"], "method": ["uniform_soup"]}))
        transaction.append("measurement", pl.DataFrame(soup))
        mined = {"model_id": ["huggingface:a/b", "huggingface:a/c"], "hub": "huggingface", "task": [HOSTILE, None]}
        transaction.append("model", pl.DataFrame(mined))
    return lake


def test_the_report_is_one_file_that_needs_no_internet(filled: Lake, tmp_path: Path) -> None:
    page = report(filled, tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.html"]
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?(https?:)?//", page)
    for title in ("accuracy over width and batch size", "training curves", "Soups", "What was mined", "Coverage"):
        assert title in page
    assert "FROM coverage" in page


def test_names_from_hubs_cannot_run_in_the_report(filled: Lake, tmp_path: Path) -> None:
    page = report(filled, tmp_path / "report.html").read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "&lt;/script&gt;" in page
    assert "\\u003c/script>" in page


def test_an_empty_lake_has_a_report_too(lake: Lake, tmp_path: Path) -> None:
    page = report(lake, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The lake is empty." in page


def test_a_report_that_cannot_be_written_is_said(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutsideError, match="cannot write"):
        report(lake, tmp_path / "file" / "report.html")


@pytest.mark.browser
def test_a_browser_draws_every_picture_without_errors(filled: Lake, tmp_path: Path) -> None:
    path = report(filled, tmp_path / "report.html")
    dom, console = opened_in_chromium(path)
    pictures = path.read_text(encoding="utf-8").count('class="chart"')
    assert pictures == 5
    assert f'data-drawn="{pictures}"' in dom
    assert dom.count("<svg") >= pictures
    assert "<title>weightlake report: lake</title>" in dom
    assert console == []


@pytest.mark.browser
def test_a_browser_draws_phase_diagrams_with_their_heat_maps(copied: Lake, tmp_path: Path) -> None:
    phases_of_population(copied, "tiny", settings={"epochs": 1, "runs": 1})
    path = report(copied, tmp_path / "report.html")
    dom, console = opened_in_chromium(path)
    pictures = path.read_text(encoding="utf-8").count('class="chart"')
    assert f'data-drawn="{pictures}"' in dom
    assert "mode connectivity (percentage points)" in dom
    assert console == []


def opened_in_chromium(page: Path) -> tuple[str, list[str]]:
    """The page's DOM once it is drawn, and what it wrote to the console."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        if os.environ.get("CI"):
            pytest.fail("no chromium; .ci/run installs it")
        pytest.skip("no chromium here")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *quiet, "--enable-logging=stderr"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [chromium, *flags, profile, "--virtual-time-budget=20000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
