"""The demo, with a small grid: on a hub, without one, twice, and beside a hub that never answers."""

import os
import socket
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from commands import demonstration
from schemas import open_lake
from tests.hub import TestHub

MODELS = 210


def repositories(folder: Path) -> Path:
    """A hub's worth of small model repositories with cards and weights."""
    for number in range(MODELS):
        repository = folder / "owner" / f"model-{number:03d}"
        repository.mkdir(parents=True)
        (repository / "README.md").write_text(f"---\nlicense: mit\nlanguage: no\n---\n# Model {number}\n\nText.\n")
        save_file({"weight": torch.zeros(3, number + 1)}, repository / "model.safetensors")
    return folder


def run(folder: Path, lines: list[str], **options: object) -> demonstration.Demo:
    return demonstration.run(
        folder,
        grid="digits-tiny",
        progress=lambda done, total, what: None,
        say=lines.append,
        **options,  # type: ignore[arg-type] # the tests' own choice of options
    )


def test_the_demo_goes_through_every_room(tmp_path: Path) -> None:
    lines: list[str] = []
    with TestHub(repositories=repositories(tmp_path / "hub")) as hub:
        demo = run(tmp_path / "demo", lines, endpoint=hub.url)
    results = dict(demo.summary.select("step", "result").rows())
    assert results["mine the hub"] == "200 models, 200 cards, 200 tensors"
    assert results["train digits-tiny"].startswith("8 of 8 members")
    assert results["publish and mine a local hub"].startswith("16 written, 16 models, 16 cards")
    assert results["uniform soup, apart"].endswith("forced")
    assert results["phases"].startswith("4 cells by the rule taxonomy")
    assert [line for line in lines if line.startswith("Note: mode_connectivity was measured with epochs=12")]
    assert (tmp_path / "demo" / "phases.svg").stat().st_size > 1000
    assert (
        "Population digits-tiny"
        in demo.report.read_text(encoding="utf-8").split(">Phases</h3>")[0].rpartition("<h2")[2]
    )
    assert any("refused" in line and "initialisation" in line for line in lines)
    assert demo.report.stat().st_size > 100_000
    lake = open_lake(demo.lake, read_only=True)
    assert all(lake.sql(query).height for query in demo.queries)
    origins = dict(lake.sql("SELECT origin, count(*) FROM models GROUP BY origin").rows())
    assert origins == {"mined": 216, "trained": 16, "made": 3}
    done = {table: lake.sql(f"FROM {table} ORDER BY ALL") for table in ("sitting", "training")}
    begin = sum(os.times()[:4])
    again = run(tmp_path / "demo", lines, endpoint="http://127.0.0.1:1")
    assert sum(os.times()[:4]) - begin < 30  # of the processor, its children too: how busy the machine is counts not
    assert all(lake.sql(f"FROM {table} ORDER BY ALL").equals(rows) for table, rows in done.items())
    assert dict(again.summary.select("step", "result").rows())["mine the hub"] == "200 models are there already"
    assert dict(lake.sql("SELECT origin, count(*) FROM models GROUP BY origin").rows()) == origins


def test_a_hub_that_never_answers_is_given_five_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        trouble = demonstration.trouble(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert 4 < time.monotonic() - begin < 7
    assert trouble
    assert "\n" not in trouble


def test_a_hub_that_is_down_is_said_at_once() -> None:
    trouble = demonstration.trouble("http://127.0.0.1:1")
    assert trouble
    assert "127.0.0.1:1" in trouble
