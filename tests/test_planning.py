"""What a run says that it will ask of the hub, beside what it then asks."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from miners.estimates import SAMPLE, needed, requests_for
from miners.mining import mine, plan
from miners.planning import for_people
from miners.targets import Target
from schemas import Lake
from tests.hub import TestHub

MODELS = 60


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    """Models of which some have a card, some a configuration, and some one, three or no weight files."""
    for number in range(MODELS):
        place = tmp_path / "hub" / "owner" / f"m{number:02d}"
        place.mkdir(parents=True)
        (place / "notes.txt").write_text("x")
        if number % 3 == 0:
            (place / "README.md").write_text("# A model")
        if number % 4 == 0:
            (place / "config.json").write_text("{}")
        if number % 10 == 0:
            (place / ".eval_results").mkdir()
            (place / ".eval_results" / "a.yaml").write_text("[]")
        for shard in range({0: 3, 1: 1}.get(number % 5, 0)):
            name = "model.safetensors" if number % 5 else f"part-{shard}.safetensors"
            save_file({"w": np.zeros(2, np.float32)}, place / name)
    return tmp_path / "hub"


def test_as_much_is_asked_as_was_said(lake: Lake, repositories: Path) -> None:
    wants = {"cards": True, "configs": True, "tensors": True, "files": True}
    with TestHub(repositories=repositories) as hub:
        mine(lake, "huggingface", endpoint=hub.url)
        said = plan(lake, "huggingface", endpoint=hub.url, full=True, **wants)
        begun = len(hub.log)
        mine(lake, "huggingface", endpoint=hub.url, full=True, **wants)
        counted = [one.path for one in hub.log[begun:] if "/resolve/" in one.path or one.path.startswith("/api/")]
    asked = Counter(map(kind_of, counted))
    assert dict(said.select("what", "requests").iter_rows()) == asked
    shown = for_people(said)
    assert shown["what"].to_list() == ["listing", "cards", "configs", "tensors", "files", "together"]
    assert shown["requests"][-1] == f"about {asked.total()}"


def test_a_listing_of_one_page_is_planned_by_what_it_lists(lake: Lake, repositories: Path) -> None:
    with TestHub(repositories=repositories) as hub:
        said = plan(lake, "huggingface", endpoint=hub.url, cards=True, search="m0")
    assert said.rows_by_key("what", named=True)["cards"][0]["requests"] <= 10


def test_a_first_listing_that_is_gone_on_with_is_as_long_as_before(lake: Lake) -> None:
    """What the lake has of it by then says nothing of how many models there are."""

    def stop(done: int, total: int | None, what: str) -> None:
        raise KeyboardInterrupt

    ticking = itertools.count(step=10.0)  # each page is due for a commit
    with TestHub([{"id": f"o/m{number}"} for number in range(60)], largest_page=10) as hub:
        first = plan(lake, "huggingface", endpoint=hub.url)["requests"][0]
        with pytest.raises(KeyboardInterrupt):
            mine(lake, "huggingface", endpoint=hub.url, progress=stop, clock=lambda: next(ticking))
        assert lake.sql("SELECT listed_at FROM crawl").item() is None
        assert plan(lake, "huggingface", endpoint=hub.url)["requests"][0] == pytest.approx(first, rel=0.01)


def kind_of(path: str) -> str:
    if path.startswith("/api/"):
        return "files" if "/tree/" in path else "listing"
    return "configs" if path.endswith("config.json") else "tensors" if path.endswith("safetensors") else "cards"


def test_many_models_are_estimated_by_a_sample(lake: Lake) -> None:
    card = {"rfilename": "README.md"}
    with TestHub([{"id": f"o/m{n}", "tags": [], "siblings": [card] * (n % 2)} for n in range(4000)]) as hub:
        mine(lake, "huggingface", endpoint=hub.url)
    models = lake.sql("SELECT model_id, sha, true AS says_files FROM model")
    assert models.height > SAMPLE
    assert requests_for(lake, "cards", models) == pytest.approx(2000, rel=0.1)


def test_what_each_thing_takes() -> None:
    paths = {"README.md", ".eval_results/a.yaml", "model.safetensors.index.json", "model-00001-of-00002.safetensors"}
    target = Target("huggingface:o/m", None, frozenset({*paths, "model-00002-of-00002.safetensors"}))
    assert [needed(what, target) for what in ("cards", "configs", "tensors", "commits")] == [2, 0, 3, 1]
    assert needed("tensors", target._replace(paths=None)) == 1
