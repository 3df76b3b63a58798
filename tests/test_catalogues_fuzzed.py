"""Catalogues of anything: whatever the files hold, each record is stored or a failure, and nothing is raised."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miners import modelhub_ai, modelzoo_co
from miners.batch import Batch
from miners.catalogue import Catalogue
from miners.onnx import zoo as onnx
from miners.package_rows import add_packages
from miners.pytorch_hub import repository as pytorch_hub
from miners.timm import repository as timm

KEYS = st.sampled_from(
    [
        *("model", "model_path", "metadata", "tags", "io_ports", "opset_version"),
        *("model_bytes", "model_sha", "id", "name", "github", "github_branch"),
        *("backend", "task_extended", "slug", "stars", "framework", "categories"),
        *("link", "papers", "long_desc", "models", "meta", "publication"),
        *("url", "bibtex", "task", "architecture", "io", "external_contrib_files"),
        *("dest_file_path", "src_url", "title", "class", "author", "parameters"),
        *("onnx_model_information", "onnx_ops_counter"),
    ]
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "validated/vision/classification/net/model/net-1.onnx",
            "https://github.com/o/net",
            "net",
            "\ud800",
            "a\0b",
            "https://arxiv.org/abs/1512.03385",
        ]
    ),
)
HUGE = st.sampled_from([2**63 - 1, 2**63, 10**30, 9.3e18, 1e300])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), HUGE, TEXTS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)
RECORDS = st.lists(st.dictionaries(KEYS, VALUES, max_size=8) | SCALARS, max_size=5)
BODIES = st.one_of(
    st.binary(max_size=200),
    VALUES.map(lambda value: json.dumps(value).encode()),
    RECORDS.map(lambda value: json.dumps(value).encode()),
    RECORDS.map(lambda value: json.dumps({"models": value}).encode()),
    st.text(alphabet="|-`#[]()\n'\":,= torch.hub.load netmodel0123%", max_size=300).map(str.encode),
    st.text(alphabet='model,top1,5.\n"net-', max_size=200).map(str.encode),
)
PATHS = {
    "onnx": [
        "ONNX_HUB_MANIFEST.json",
        "README.md",
        "validated/vision/classification/net/README.md",
        "x/net_Opset16_timm/turnkey_stats.yaml",
        "x/net_Opset16_timm/net.onnx",
    ],
    "pytorch_hub": ["one.md", "two.md"],
    "modelhub_ai": ["models.json", *(f"models/net/{path}" for path in modelhub_ai.OF_A_MODEL)],
    "modelzoo_co": ["api/models/0.json", "api/models/net.json"],
    "timm": [
        "results/results-imagenet.csv",
        "results/model_metadata-in1k.csv",
        "results/benchmark-infer-amp-nchw-pt291-cu128-4090.csv",
    ],
}
CATALOGUES = (onnx.ZOO, pytorch_hub.CATALOGUE, modelhub_ai.CATALOGUE, modelzoo_co.CATALOGUE, timm.CATALOGUE)


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda catalogue: catalogue.hub)
@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_files_are_described_without_an_exception(catalogue: Catalogue, data: Any) -> None:
    files = {path: data.draw(BODIES) for path in PATHS[catalogue.hub] if data.draw(st.booleans())}
    described = catalogue.describe(files)
    batch = Batch()
    add_packages(batch, described.packages, catalogue.hub, "crawl", datetime.now(UTC), None)
    assert batch.seen == batch.stored + batch.failed
    ids = [model_id for frame in batch.frames.get("model", []) for model_id in frame["model_id"]]
    assert len(ids) == len(set(ids))
