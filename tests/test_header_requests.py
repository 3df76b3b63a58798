"""Headers of every format over the network: how few requests they take, and what becomes of them in the lake."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save, save_file

from miners import header_requests
from miners.header_requests import fetch_headers
from miners.http import HubClient
from miners.mining import mine
from miners.targets import Target
from schemas import Lake
from schemas.doctor import examine
from tests.hub import TestHub
from tests.weight_file import ARRAYS, gguf_file, numpy_file, one_of_each, onnx_model, torch_file

Write = Callable[[Path], object]
LARGE = np.zeros((1024, 1024), np.float32)


def repository(root: Path, name: str, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        place = root / "owner" / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return root


def mined(lake: Lake, root: Path) -> list[tuple[str, str | None]]:
    """Mine the repositories of a folder from a hub; gives path and range of what was asked for."""
    with TestHub(repositories=root) as hub:
        mine(lake, "huggingface", endpoint=hub.url, tensors=True)
        asked = [request for request in hub.requests("/owner/*/resolve/*") if request.status in (200, 206, 302, 416)]
    return [(request.path.rpartition("/")[2], request.headers.get("range")) for request in asked]


def gguf_tensor(writer: Any) -> None:
    writer.add_array("tokenizer.ggml.tokens", [f"token {place}" for place in range(1000)])
    writer.add_tensor("w", LARGE)


@pytest.mark.parametrize(
    ("path", "content", "requests"),
    [
        ("model.safetensors", lambda _: save({"w": LARGE}), 1),
        ("model.gguf", lambda folder: gguf_file(folder / "m", gguf_tensor), 1),
        ("model.onnx", lambda _: onnx_model({"w": LARGE}).SerializeToString(), 2),
        ("pytorch_model.bin", lambda _: torch_file({"w": torch.from_numpy(LARGE)}), 2),
        ("model.npy", lambda _: numpy_file(np.save, LARGE), 1),
        ("model.npz", lambda _: numpy_file(np.savez, w=LARGE), 2),
    ],
)
def test_a_header_takes_few_requests_and_no_weights(
    lake: Lake, tmp_path: Path, path: str, content: Callable[[Path], bytes], requests: int
) -> None:
    root = repository(tmp_path / "hub", "model", {path: content(tmp_path)})
    asked = mined(lake, root)
    assert len(asked) == requests
    rows = lake.sql("SELECT path, name, dtype, shape FROM tensor").rows()
    assert rows == [(path, "" if path == "model.npy" else "w", "F32", [1024, 1024])]
    kept = pl.concat([pl.read_parquet(file) for file in lake.raw.rglob("tensors-*.parquet")])
    assert sum(map(len, kept["body"])) < 140_000
    assert lake.sql("SELECT parameters FROM model").item() == 1024 * 1024
    assert examine(lake).is_empty()


def test_every_format_of_one_repository_is_read(lake: Lake, tmp_path: Path) -> None:
    root = repository(tmp_path / "hub", "model", one_of_each(tmp_path))
    mined(lake, root)
    assert lake.sql("SELECT * FROM failure").is_empty()
    weights = lake.sql("SELECT format, main, files, tensors, parameters, bytes FROM weights ORDER BY format").rows()
    assert weights == [
        ("gguf", False, 1, 2, 15, 54),
        ("numpy", False, 3, 5, None, None),  # which of three files is the model is not known
        ("onnx", False, 1, 2, 15, 54),
        ("safetensors", True, 1, 2, 15, 54),
    ]
    same = lake.sql("SELECT DISTINCT fingerprint FROM weights WHERE fingerprint IS NOT NULL")
    assert same.height == 1
    dtypes = lake.sql(
        "SELECT dtype, tensors, parameters, bytes, share FROM weights_dtype WHERE format = 'gguf' ORDER BY 1"
    )
    assert dtypes.rows() == [("F16", 1, 3, 6, 0.2), ("F32", 1, 12, 48, 0.8)]
    facts = lake.sql("SELECT path, key, value FROM weights_metadata WHERE kind <> 'metadata' ORDER BY ALL").rows()
    assert facts == [("model.onnx", "ai.onnx", "17"), ("model.onnx", "x", "batch, 3, ?"), ("model.onnx", "y", "")]
    assert lake.sql("SELECT value FROM weights_metadata WHERE key = 'general.architecture'").item() == "llama"
    assert lake.sql("SELECT parameters FROM model").item() == 15


def test_components_of_a_pipeline_count_together(lake: Lake, tmp_path: Path) -> None:
    files = {
        "unet/diffusion_pytorch_model.safetensors": save({"w": np.zeros(7, np.float32)}),
        "unet/diffusion_pytorch_model.fp16.safetensors": save({"w": np.zeros(7, np.float16)}),
        "vae/diffusion_pytorch_model.safetensors": save({"w": np.zeros(5, np.float32)}),
        "text_encoder/model-00001-of-00001.safetensors": save({"w": np.zeros(3, np.float32)}),
        "text_encoder/model.safetensors.index.json": json.dumps(
            {"weight_map": {"w": "model-00001-of-00001.safetensors"}}
        ).encode(),
    }
    mined(lake, repository(tmp_path / "hub", "pipeline", files))
    assert lake.sql("SELECT files, tensors, parameters FROM weights").rows() == [(3, 3, 15)]
    assert lake.sql("SELECT parameters FROM model").item() == 15


def test_what_cannot_be_read_is_a_failure_each_and_takes_nothing_with_it(lake: Lake, tmp_path: Path) -> None:
    files = {
        "model.gguf": b"GGUF\0\0\0\3" + bytes(16),
        "model.onnx": b"\xff" * 20,
        "sub/pytorch_model.bin": torch_file({"a": torch.zeros(2)}, _use_new_zipfile_serialization=False),
        "model.npy": b"",
        "model.safetensors": save(ARRAYS),
        "optimizer.pt": b"not looked at",
    }
    mined(lake, repository(tmp_path / "hub", "model", files))
    reasons = lake.sql("SELECT reason FROM failure WHERE stage = 'tensors' ORDER BY reason")["reason"].to_list()
    complaints = ["big-endian", "does not have the bytes", "longer than 10 bytes", "before 1.6"]
    assert [complaint in reason for complaint, reason in zip(complaints, reasons, strict=True)] == [True] * 4
    assert lake.sql("SELECT format, parameters FROM weights").rows() == [("safetensors", 15)]


def test_weights_that_are_gone_leave_the_lake(lake: Lake, tmp_path: Path) -> None:
    root = repository(tmp_path / "hub", "model", one_of_each(tmp_path))
    mined(lake, root)
    for path in (root / "owner" / "model").iterdir():
        path.unlink()
    save_file(ARRAYS, root / "owner" / "model" / "model.safetensors")
    mined(lake, root)
    assert lake.sql("SELECT DISTINCT path FROM tensor")["path"].to_list() == ["model.safetensors"]
    assert lake.sql("SELECT format FROM weights")["format"].to_list() == ["safetensors"]
    assert lake.sql("SELECT DISTINCT format FROM weights_dtype")["format"].to_list() == ["safetensors"]
    assert lake.sql("SELECT DISTINCT path FROM weights_metadata").is_empty()


@pytest.mark.parametrize(
    ("limit", "value"), [("MOST_FILES", 3), ("MOST_REQUESTS", 3), ("MOST_TENSORS", 5), ("MOST_BYTES", 2500)]
)
def test_a_repository_takes_no_more_than_one_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(header_requests, limit, value)
    content = save({"a": np.zeros(100, np.float32), "b": np.zeros(100, np.float32)})
    files = {f"part-{place}.safetensors": content for place in range(6)}
    root = repository(tmp_path / "hub", "many", files)
    with TestHub(repositories=root) as hub, HubClient(hub.url, token=False) as client:
        fetched = fetch_headers(client, Target("huggingface:owner/many", None, frozenset(files)))
        assert len(hub.requests("*.safetensors")) == 2 * 3  # each is redirected to where large files lie
    assert fetched.found
    assert len(fetched.found.files) == 3
    assert fetched.found.main == {"safetensors": []}
    assert fetched.failures == ["3 weight files were not read: those before them took all that one model may"]


def test_a_long_tokenizer_is_not_kept(lake: Lake, tmp_path: Path) -> None:
    def write(writer: Any) -> None:
        writer.add_array("tokens", [f"a token of many letters {place}" for place in range(60_000)])
        writer.add_tensor("w", np.zeros(3, np.float32))

    root = repository(tmp_path / "hub", "model", {"m.gguf": gguf_file(tmp_path / "m", write)})
    assert len(mined(lake, root)) == 2
    assert not list(lake.raw.rglob("tensors-*.parquet"))
    assert lake.sql("SELECT name FROM tensor").item() == "w"


def test_a_header_of_fifty_megabytes_takes_two_requests(lake: Lake, tmp_path: Path) -> None:
    content = save(ARRAYS, {"notes": "x" * 50_000_000})
    asked = mined(lake, repository(tmp_path / "hub", "model", {"model.safetensors": content}))
    assert len(asked) == 2
    assert lake.sql("SELECT parameters FROM model").item() == 15
    assert lake.sql("SELECT characters FROM weights_metadata").item() == 50_000_000


def test_only_a_file_that_the_hub_has_listed_can_be_missing(tmp_path: Path) -> None:
    root = repository(tmp_path / "hub", "model", {"config.json": b"{}"})
    with TestHub(repositories=root) as hub, HubClient(hub.url) as client:
        unlisted = fetch_headers(client, Target("huggingface:owner/model", None, None))
        listed = fetch_headers(client, Target("huggingface:owner/model", None, frozenset(["model.safetensors"])))
    assert unlisted.failures == []
    assert [failure.partition(":")[0] for failure in listed.failures] == ["model.safetensors"]
