"""A crawl that is killed anywhere is gone on with by the next one: no row twice, none missing."""

import itertools
import json
import os
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from miners.mining import mine
from schemas import Lake, OutsideError, UsageError, examine, open_lake
from tests.disturbed_crawls import assert_equal, contents, killed, run
from tests.hub import Histories, TestHub

WANTED = {"cards": True, "configs": True, "tensors": True, "files": True, "commits": True, "discussions": True}
MODELS, WITH_FILES = 400, 12


def record(number: int) -> dict[str, Any]:
    paths = ["README.md", "config.json", "model.safetensors"] if number < WITH_FILES else ["a.txt"]
    parent = [f"base_model:finetune:owner/m{number // 2:04d}"] if number % 3 == 0 and number else []
    return {
        "_id": f"{number:024x}",
        "id": f"owner/m{number:04d}" if number % 50 else f"owner/broken name {number}",
        "sha": f"{number:040x}",
        "createdAt": f"2024-01-{1 + number % 28:02d}T00:00:00.000Z",
        "lastModified": f"2024-02-{1 + number % 28:02d}T00:00:00.000Z",
        "likes": number if number % 7 else "many",
        "tags": ["license:mit", "de", *parent],
        "siblings": [{"rfilename": path} for path in paths],
    }


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repositories")
    for number in range(WITH_FILES):
        place = folder / "owner" / f"m{number:04d}"
        place.mkdir(parents=True)
        (place / "README.md").write_text(f"---\nlicense: mit\ndatasets: [d{number}]\n---\n# Model {number}\nwords\n")
        (place / "config.json").write_text(json.dumps({"model_type": "bert", "n": number}))
        save_file({"w": np.zeros(number + 1, np.float32)}, place / "model.safetensors")
    return folder


@pytest.fixture
def hub(repositories: Path) -> Iterator[TestHub]:
    said = {f"owner/m{n:04d}": [{"num": 1, "title": "Hello", "status": "open"}] for n in range(WITH_FILES)}
    with TestHub(
        [record(number) for number in range(MODELS)],
        repositories,
        largest_page=20,
        histories=Histories(discussions=said),
        patience=0.2,
    ) as running:
        yield running


@pytest.fixture
def undisturbed(hub: TestHub, tmp_path: Path) -> Lake:
    lake = open_lake(tmp_path / "undisturbed")
    run(lake, hub, **WANTED)
    return lake


def disturb(hub: TestHub, lake: Lake, times: int, seed: int, requests: int, **options: Any) -> int:
    chance = random.Random(seed)
    hits = sum(killed(lake, hub, chance, requests, **options) for _ in range(times))
    run(lake, hub, **options)
    return hits


def test_a_crawl_killed_at_random_points_ends_like_an_undisturbed_one(
    hub: TestHub, undisturbed: Lake, tmp_path: Path
) -> None:
    lake = open_lake(tmp_path / "lake")
    assert disturb(hub, lake, times=4, seed=7, requests=40, **WANTED) >= 2
    assert_equal(lake, undisturbed)
    assert examine(lake).is_empty()
    counts = {name: rows.height for name, rows in contents(lake).items()}
    assert min(counts[name] for name in ("model", "failure", "lineage", "card", "config", "tensor", "discussion")) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
def test_a_crawl_killed_at_many_random_points(hub: TestHub, undisturbed: Lake, tmp_path: Path, seed: int) -> None:
    lake = open_lake(tmp_path / "lake")
    assert disturb(hub, lake, times=20, seed=seed, requests=60, **WANTED) >= 10
    assert_equal(lake, undisturbed)


def test_a_full_disk_ends_a_crawl_and_the_next_goes_on(hub: TestHub, undisturbed: Lake, small_disk: Path) -> None:
    lake = open_lake(small_disk / "lake")
    filler = small_disk / "filler"

    def fill(done: int, total: int | None, what: str) -> None:
        if not filler.exists():
            with suppress(OSError), filler.open("wb", buffering=0) as opened:  # closing writes nothing more
                while True:
                    opened.write(os.urandom(2**16))

    ticking = itertools.count(step=10.0)
    with pytest.raises(OutsideError, match=r"full|No space left"):
        mine(lake, "huggingface", endpoint=hub.url, progress=fill, clock=lambda: next(ticking), **WANTED)
    filler.unlink()
    assert not lake.sql("SELECT * FROM crawl WHERE state = 'finished'").height
    run(lake, hub, **WANTED)
    assert_equal(lake, undisturbed)


def test_ctrl_c_keeps_what_has_come(hub: TestHub, undisturbed: Lake, tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")

    def interrupt(done: int, total: int | None, what: str) -> None:
        if done >= 100:
            raise KeyboardInterrupt

    ticking = itertools.count(step=10.0)
    with pytest.raises(KeyboardInterrupt):
        mine(lake, "huggingface", endpoint=hub.url, progress=interrupt, clock=lambda: next(ticking), **WANTED)
    assert lake.sql("SELECT state, rows_seen FROM crawl").rows() == [("failed", 100)]
    run(lake, hub, **WANTED)
    assert_equal(lake, undisturbed)


def test_a_commit_that_fails_ends_the_crawl_at_the_one_before(hub: TestHub, tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    spoilt: list[int] = []

    def spoil(done: int, total: int | None, what: str) -> None:
        if done >= 100 and not spoilt:
            while lake.sql("SELECT rows_seen FROM crawl").item() != 100:
                continue
            with lake.write() as transaction:
                transaction.sql("ALTER TABLE observation RENAME TO hidden")
            spoilt.append(done)

    ticking = itertools.count(step=10.0)
    with pytest.raises(UsageError, match="observation does not exist"):
        mine(lake, "huggingface", endpoint=hub.url, progress=spoil, clock=lambda: next(ticking))
    assert lake.sql("SELECT state, rows_seen FROM crawl").rows() == [("failed", 100)]
    with lake.write() as transaction:
        transaction.sql("ALTER TABLE hidden RENAME TO observation")
    assert mine(lake, "huggingface", endpoint=hub.url).rows_seen == MODELS
    assert lake.sql("SELECT count(*), count(DISTINCT model_id) FROM observation").row(0) == (392, 392)
