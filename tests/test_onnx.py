import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from miners.catalogue import Described
from miners.crawl import Crawl
from miners.mining import mine
from miners.onnx.zoo import describe, wanted
from miners.package import Package
from miners.source import contents
from schemas import Lake, open_lake
from schemas.doctor import examine
from tests.sites import GitHub

README = """<!--- SPDX-License-Identifier: BSD-3-Clause -->
# Net
| Model | Download | ONNX version | Opset version | Top-1 accuracy (%) | Notes |
|---|:---|---|---|---|---|
|Net 1 | [4 MB](model/net-1.onnx) | 1.2 | 7 | 70.5 | |
|Net 2 | [4 MB](model/net-2.onnx) | 1.2 | 7 | | mAP of 0.25 |
|Net 3 | [4 MB](model/net-3.onnx) | 1.2 | 7 | EM of 68.1 in SQuAD v1.1 | 0.3 & 0.4 |

## Dataset
Trained on [ImageNet (ILSVRC2012)](http://image-net.org/) as told [here](https://x.org/) and [images](../prep.md).

Dataset used for validation: [ImageNet (ILSVRC2012)](http://image-net.org/).

## References
[Net](https://arxiv.org/abs/1512.03385)
"""
FOLDER = "validated/vision/classification/net"


def described(*entries: dict[str, Any], **files: bytes) -> Described:
    held = {"ONNX_HUB_MANIFEST.json": json.dumps(entries).encode(), f"{FOLDER}/README.md": README.encode()}
    return describe({**held, **files})


def package(name: str, **metadata: Any) -> Package:
    found = described({"model": name, "model_path": f"{FOLDER}/model/{name}.onnx", "metadata": metadata})
    assert found.lost == []
    return found.packages[0]


def test_a_model_has_what_the_manifest_and_its_row_of_the_page_say() -> None:
    found = package("net-1", model_bytes=4, model_sha="a" * 64, tags=["vision"], io_ports={"inputs": [{"name": "x"}]})
    assert (found.name, found.task, found.licenses) == ("net/net-1", "classification", ["BSD-3-Clause"])
    assert found.files[0]._asdict() == {"path": f"{FOLDER}/model/net-1.onnx", "size": 4, "sha256": "a" * 64}
    (score,) = found.scores
    assert (score.metric, score.value, score.dataset) == ("Top-1 accuracy (%)", 70.5, "ImageNet (ILSVRC2012)")
    assert score.evidence is not None
    assert score.evidence.split("\n") == [
        "|Net 1 | [4 MB](model/net-1.onnx) | 1.2 | 7 | 70.5 | |",
        "Dataset used for validation: [ImageNet (ILSVRC2012)](http://image-net.org/).",
    ]
    said = {one.name: (one.value, one.evidence) for one in found.statements}
    assert said["license"] == ("BSD-3-Clause", "<!--- SPDX-License-Identifier: BSD-3-Clause -->")
    assert said["inputs"] == ('[{"name": "x"}]', None)
    home = ("home", f"https://github.com/onnx/models/tree/main/{FOLDER}", "listing")
    assert found.links == [home, *[("dataset", "ImageNet (ILSVRC2012)", "text")] * 2]


def test_metrics_are_named_by_the_cell_or_else_by_the_column() -> None:
    assert [(s.metric, s.value) for s in package("net-2").scores] == [("mAP", 0.25)]
    scores = package("net-3").scores
    assert [(s.metric, s.value, s.dataset) for s in scores] == [
        ("EM", 68.1, "SQuAD v1.1"),
        ("Notes", None, "ImageNet (ILSVRC2012)"),
    ]
    assert scores[1].value_text == "0.3 & 0.4"


@pytest.mark.parametrize(
    ("text", "dataset"),
    [
        ("It achieves 70.5% ImageNet top-1 accuracy.\n## Dataset\n[COCO](http://x.org)", "ImageNet"),
        ("### Dataset\n[ILSVRC2012](http://x.org)", "ILSVRC2012"),
        ("## Dataset\nModels are pretrained on ImageNet.", "ImageNet"),
        ("## Dataset\nTrained on the popular [MNIST dataset](http://x.org).", "MNIST"),
        ("## Dataset\n[COCO dataset](http://x.org), [ImageNet](http://y.org)", None),
        ("## Dataset\nWhatever.", None),
    ],
)
def test_a_classifiers_results_are_on_the_dataset_that_alone_is_named(text: str, dataset: str | None) -> None:
    page = f"{README.partition('## Dataset')[0]}{text}\n"
    models = [{"model_path": f"{FOLDER}/model/net-{place}.onnx", "metadata": {}} for place in (1, 2)]
    found = described(*models, **{f"{FOLDER}/README.md": page.encode()})
    (top_1,), (average_precision,) = (package.scores for package in found.packages)
    assert (top_1.dataset, average_precision.dataset) == (dataset, None)
    assert dataset is None or dataset in str(top_1.evidence).split("\n")[1]
    assert [lost.subject.count("net-3.onnx") for lost in found.unplaced] == [1]


def test_a_model_that_the_page_does_not_list_has_no_results() -> None:
    assert package("other").scores == []


def test_weights_behind_a_pointer_give_size_and_hash_of_an_exported_model() -> None:
    stats = {
        "author": "timm",
        "class": "Net",
        "parameters": 5,
        "task": "Vision",
        "onnx_model_information": {"opset": 16},
    }
    folder = "Computer_Vision/net_Opset16_timm"
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'b' * 64}\nsize 1234\n".encode()
    found = described(
        **{f"{folder}/turnkey_stats.yaml": yaml.safe_dump(stats).encode(), f"{folder}/net_Opset16.onnx": pointer}
    )
    (net,) = found.packages
    assert (net.name, net.architecture, net.parameters, net.task) == ("timm/net_Opset16", "Net", 5, "Vision")
    assert net.files[0]._asdict() == {"path": f"{folder}/net_Opset16.onnx", "size": 1234, "sha256": "b" * 64}


@pytest.mark.parametrize(
    ("author", "names"),
    [
        ("timm", [("known_as", "timm#net"), ("architecture", "timm#net")]),
        ("torch_hub", [("known_as", "torch_hub#net")]),
        ("torchvision", [("known_as", "github.com/pytorch/vision#net")]),
    ],
)
def test_an_exported_model_is_known_as_what_it_was_exported_from(author: str, names: list[tuple[str, str]]) -> None:
    body = f"author: {author}\nmodel_name: net\nhash: 37192e06\n".encode()
    (net,) = described(**{f"x/net_Opset16_{author}/turnkey_stats.yaml": body}).packages
    assert net.links[0] == ("home", f"https://github.com/onnx/models/tree/main/x/net_Opset16_{author}", "listing")
    assert [link[:2] for link in net.links[1:]] == names
    assert {one.name: one.value for one in net.statements}["hash"] == "37192e06"  # no number


@pytest.mark.parametrize("body", [b"", b"[1]", b"a: [", b"&a [*a]", b"\xff\xfe", b"a: " + b"[" * 500])
def test_statistics_that_cannot_be_read_are_lost_and_said(body: bytes) -> None:
    found = described(**{"x/y_Opset16_timm/turnkey_stats.yaml": body})
    assert (len(found.packages), len(found.lost)) == (0, 1)


def test_statistics_with_wrong_types_are_stored_without_them() -> None:
    body = b"parameters: many\nclass: [a]\ntask:\nauthor: 5\nonnx_model_information: 7\nonnx_ops_counter: {A: 1}"
    (net,) = described(**{"x/y_Opset16_timm/turnkey_stats.yaml": body}).packages
    assert (net.name, net.parameters, net.architecture, net.task) == ("y_Opset16_timm", None, None, None)
    assert len(net.problems) == 2


def test_weights_themselves_are_never_read() -> None:
    assert wanted("Computer_Vision/x/y.onnx", 130)
    assert not wanted("Computer_Vision/x/y.onnx", 2000)
    assert not wanted("docs/README.md", 100)


Mined = tuple[Lake, Crawl, Path]


@pytest.fixture(scope="module")
def mined(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mined:
    """The whole zoo, and its checkout unpacked for a slower look."""
    packed = data_folder / "hubs" / "onnx" / "onnx_models.tar.gz"
    lake = open_lake(tmp_path_factory.mktemp("lakes") / "lake")
    checkout = tmp_path_factory.mktemp("checkout")
    with tarfile.open(packed) as opened:
        opened.extractall(checkout, filter="data")
    return lake, mine(lake, "onnx", source=packed), checkout


@pytest.mark.data
def test_the_whole_zoo_is_stored(mined: Mined) -> None:
    lake, crawl, _ = mined
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (184 + 2190, 184 + 2190, 0)
    assert lake.sql("SELECT count(*) FROM statement WHERE name = 'title'").item() == 184
    assert lake.sql("SELECT count(DISTINCT value) FROM statement WHERE name = 'title'").item() == 116
    assert lake.sql("SELECT count(*) FROM statement WHERE name = 'origin_library'").item() == 2190
    assert lake.sql("SELECT DISTINCT stage FROM failure")["stage"].to_list() == ["result"]
    assert examine(lake).is_empty()


@pytest.mark.data
def test_the_whole_zoo_comes_from_the_site_and_from_a_folder_around_it(mined: Mined, tmp_path: Path) -> None:
    lake, _, checkout = mined
    packed = tmp_path / "packed.tar.gz"
    with tarfile.open(packed, "w:gz", compresslevel=1) as made:
        made.add(checkout, "models-main")
    site_lake = open_lake(tmp_path / "lake")
    with GitHub({"onnx/models": packed.read_bytes()}) as site:
        crawl = mine(site_lake, "onnx", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (184 + 2190, 184 + 2190, 0)
    for query in (
        "SELECT model_id, task, parameters FROM model ORDER BY ALL",
        "SELECT * FROM link ORDER BY ALL",
        "SELECT * FROM evaluation ORDER BY ALL",
    ):
        assert site_lake.sql(query).rows() == lake.sql(query).rows()
    (tmp_path / "parent").mkdir()
    checkout.rename(tmp_path / "parent" / "models-main")
    try:
        around = contents(tmp_path / "parent", wanted)
    finally:
        (tmp_path / "parent" / "models-main").rename(checkout)
    assert around.files == contents(checkout, wanted).files


@pytest.mark.data
def test_the_manifest_is_stored_value_for_value(mined: Mined) -> None:
    lake, _, checkout = mined
    manifest = json.loads((checkout / "ONNX_HUB_MANIFEST.json").read_bytes())
    expected = {
        (
            e["model_path"],
            e["metadata"]["model_bytes"],
            e["metadata"]["model_sha"],
            e["model"],
            float(e["opset_version"]),
        )
        for e in manifest
    }
    stored = lake.sql("""
        SELECT path, bytes, sha256, title.value, opset.number FROM file
        JOIN statement AS title USING (model_id) JOIN statement AS opset USING (model_id)
        WHERE path LIKE '%.onnx' AND title.name = 'title' AND opset.name = 'opset'
    """)
    assert set(stored.iter_rows()) == expected
    tags = {(e["model_path"], tag) for e in manifest for tag in e["metadata"]["tags"]}
    query = "SELECT path, tag FROM tag JOIN file USING (model_id) WHERE path LIKE '%.onnx'"
    assert set(lake.sql(query).iter_rows()) == tags


@pytest.mark.data
def test_the_statistics_are_stored_as_another_yaml_reader_reads_them(mined: Mined) -> None:
    lake, _, checkout = mined
    expected = set()
    for place in checkout.rglob("turnkey_stats.yaml"):
        said = yaml.load(place.read_bytes(), Loader=yaml.CSafeLoader)
        operators = sum(said["onnx_ops_counter"].values())
        name = place.parent.name.removesuffix(f"_{said['author']}")
        expected.add((f"onnx:{said['author']}/{name}", said["task"], said["class"], said["parameters"], operators))
    stored = lake.sql("""
        SELECT model_id, task, architecture, parameters,
            list_sum(list_transform(map_values(from_json(value, '"MAP(VARCHAR, BIGINT)"')), lambda x: x))::BIGINT
        FROM model JOIN statement USING (model_id) WHERE statement.name = 'operators'
    """)
    assert set(stored.iter_rows()) == expected


@pytest.mark.data
def test_hashes_are_stored_as_they_are_written(mined: Mined) -> None:
    lake, _, checkout = mined
    written = {
        line.partition(": ")[2].strip("'")
        for place in checkout.rglob("turnkey_stats.yaml")
        for line in place.read_text(encoding="utf-8").splitlines()
        if line.startswith("hash: ")
    }
    assert set(lake.sql("SELECT value FROM statement WHERE name = 'hash'")["value"]) == written
    assert all(len(hash) == 8 for hash in written)


@pytest.mark.data
def test_every_result_stands_in_its_evidence(mined: Mined) -> None:
    lake, _, checkout = mined
    scores = lake.sql("SELECT source, evidence, value_text, value FROM evaluation").rows()
    assert len(scores) > 140
    for source, evidence, text, _ in scores:
        page = (checkout / source).read_text(encoding="utf-8")
        assert all(line in page for line in evidence.split("\n"))
        assert text.split()[-1].strip("%") in evidence
    read = lake.sql("SELECT count(*) FROM evaluation WHERE value IS NOT NULL").item()
    assert read == len(scores) - 1  # one cell gives two numbers
