import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from miners.crawl import silent
from miners.fetching import LARGEST_PORTION, MOST_TOGETHER, TOGETHER, Fetched, fetch_all
from miners.http import Answer, HubClient
from miners.mining import mine
from miners.pacing import Enough
from miners.targets import Target
from schemas import HubError, Lake
from tests.hub import Reply, TestHub

SHA = "a" * 40


def record(name: str, *paths: str) -> dict[str, Any]:
    return {"id": name, "sha": SHA, "tags": [], "siblings": [{"rfilename": path} for path in paths]}


def failures(lake: Lake) -> list[tuple[str, str]]:
    return lake.sql("SELECT subject, reason FROM failure WHERE stage = 'tensors' ORDER BY ALL").rows()


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A repository with weights that can be read."""
    place = tmp_path / "repositories" / "owner" / "sound"
    place.mkdir(parents=True)
    save_file({"weight": np.zeros(3, np.float32)}, place / "model.safetensors")
    return tmp_path / "repositories"


@pytest.mark.parametrize("path", ["a" * 70_000 + ".safetensors", "../../../../c.safetensors"])
def test_a_path_that_no_address_can_have_is_a_failure_and_the_others_are_read(
    lake: Lake, sound: Path, path: str
) -> None:
    listed = [record("owner/odd", path), record("owner/sound", "model.safetensors")]
    with TestHub(listed, sound) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, tensors=True)
    assert crawl.tensors == 1
    assert not hub.requests("*odd*") + hub.requests("*/c.safetensors")
    [(subject, reason)] = failures(lake)
    assert subject == "huggingface:owner/odd"
    assert 0 < len(reason) < 1000


def test_an_unusable_path_beside_a_sound_one_takes_nothing_with_it(lake: Lake, sound: Path) -> None:
    (sound / "owner/sound/model.safetensors").rename(sound / "owner/sound/sound.safetensors")
    listed = [record("owner/sound", "a" * 70_000 + ".safetensors", "sound.safetensors")]
    with TestHub(listed, sound) as hub:
        assert mine(lake, "huggingface", endpoint=hub.url, tensors=True).tensors == 1
    assert len(failures(lake)) == 1


def test_a_tensor_beyond_64_bits_is_refused_where_the_size_of_the_file_is_unknown(lake: Lake) -> None:
    entry = {"dtype": "F4", "shape": [2, 2**63 - 1], "data_offsets": [0, 2**63 - 1]}
    header = json.dumps({"a": entry}).encode()
    body = struct.pack("<Q", len(header)) + header
    with TestHub([record("owner/huge", "model.safetensors")]) as hub:
        hub.misbehave("/owner/huge/resolve/*", Reply(200, {"Content-Encoding": "identity"}, body), 10)
        mine(lake, "huggingface", client=HubClient(hub.url, token=False), tensors=True)
    [(_, reason)] = failures(lake)
    assert "more than 64 bits can count" in reason


def targets(count: int) -> list[Target]:
    return [Target(f"huggingface:owner/m{place}", SHA, None) for place in range(count)]


def giving(body: bytes | None) -> Callable[[Target], Fetched[int]]:
    if body is None:
        return Fetched
    answer = Answer("https://hub.example", 200, {}, body, datetime(2025, 6, 1, tzinfo=UTC))
    return lambda target: Fetched(target, [answer], len(body))


@pytest.mark.parametrize(
    ("body", "count", "portions"),
    [
        (b"small", 2 * TOGETHER + 1, [TOGETHER, TOGETHER, 1]),
        (bytes(LARGEST_PORTION // 4), 10, [4, 4, 2]),
        (bytes(LARGEST_PORTION + 1), 2, [1, 1]),
        (b"small", 0, []),
        (None, MOST_TOGETHER + 1, [MOST_TOGETHER, 1]),
    ],
    ids=["small", "large", "larger than a portion", "none", "nothing to ask"],
)
def test_a_portion_ends_when_its_answers_have_grown_large(body: bytes | None, count: int, portions: list[int]) -> None:
    asked = targets(count)
    found = list(fetch_all(asked, count, giving(body), silent, "cards"))
    assert [len(portion) for portion in found] == portions
    assert [one.target for portion in found for one in portion] == asked


def test_a_hub_that_has_gone_is_noticed_after_what_came_was_given() -> None:
    asked = targets(500)

    def gone(target: Target) -> Fetched[int]:
        if target in asked[:3] or target == asked[5]:
            return Fetched(target, found=1)
        raise HubError("no answer")

    portions = fetch_all(asked, 500, gone, silent, "cards")
    given = next(portions)
    assert [one.target for one in given] == asked[:3]
    with pytest.raises(HubError, match="stopped answering: no answer"):
        next(portions)


def test_a_limit_ends_the_fetching_after_what_came_was_given() -> None:
    asked = targets(500)

    def limited(target: Target) -> Fetched[int]:
        if target in asked[:7]:
            return Fetched(target, found=1)
        raise Enough("7 requests were sent")

    portions = fetch_all(asked, 500, limited, silent, "cards")
    assert [one.target for one in next(portions)] == asked[:7]
    with pytest.raises(Enough, match="7 requests"):
        next(portions)
