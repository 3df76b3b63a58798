"""Good records of hubs with every part of them replaced by something odd: each is stored or a failure, none raises."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from miners import civitai, kaggle, modelhub_ai, modelscope, modelzoo_co
from miners.batch import Batch
from miners.mining import mine
from miners.package import Lost, Package
from miners.package_rows import add_packages
from miners.paged import paged_miner
from schemas import Lake
from schemas.doctor import examine
from tests.sites import Civitai
from tests.test_civitai import FULL as OF_CIVITAI
from tests.test_kaggle import FULL as OF_KAGGLE
from tests.test_modelscope import FULL as OF_MODELSCOPE

DEEP: list[Any] = []
for _ in range(50):
    DEEP = [DEEP]
ODD = [True, 7, -1.5, 10**30, "x", "\ud800\0", [], {}, [None], [[["x"]]], [{}], {"x": [None]}, DEEP, None]
LISTED = {
    "id": "0001",
    "name": "SqueezeNet",
    "task_extended": "classification",
    "github": "https://github.com/modelhub-ai/squeezenet",
    "github_branch": "master",
    "backend": ["onnx", "caffe2"],
    "gpu": False,
}
CONFIG = {
    "id": "0001",
    "meta": {"name": "SqueezeNet", "task": "Classification", "data_source": "https://data.example/imagenet"},
    "publication": {"title": "T", "url": "https://arxiv.org/abs/1602.07360", "bibtex": "@article{a}"},
    "model": {"architecture": "CNN", "provenance": "https://github.com/a/b", "io": {"input": {"single": {"dim": [1]}}}},
}
INIT = {"docker_id": "d", "external_contrib_files": [{"src_url": "https://a.example/b", "dest_file_path": "/m/b.onnx"}]}
OF_MODELZOO = {
    "id": 7,
    "slug": "net",
    "title": "Net",
    "stars": 9,
    "framework": "PyTorch",
    "categories": [{"slug": "cv"}, "nlp"],
    "link": "https://github.com/a/net",
    "papers": {"one": "https://arxiv.org/abs/1512.03385"},
    "long_desc": "# Net",
    "description": "A net",
}


def variants(value: Any) -> Iterator[Any]:
    """Give copies of a value in each of which one part is replaced by one odd thing; it itself never is."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        for replacement in [*ODD, *variants(part)]:
            changed = copy.copy(value)
            changed[key] = replacement
            yield changed


def listing(module: Any) -> Callable[[Any], list[Package] | Lost]:
    return lambda record: module.describe(record)


def of_modelhub_ai(changed: Any) -> list[Package]:
    config = "models/squeezenet/contrib_src/model/config.json"
    files = {"models.json": [changed[0]], config: changed[1], "models/squeezenet/init/init.json": changed[2]}
    return modelhub_ai.describe({path: json.dumps(value).encode() for path, value in files.items()}).packages


def of_modelzoo(changed: Any) -> list[Package]:
    files = {"api/models/0.json": {"models": [changed[0]]}, "api/models/net.json": changed[1]}
    return modelzoo_co.describe({path: json.dumps(value).encode() for path, value in files.items()}).packages


GOOD: list[tuple[str, Callable[[Any], list[Package] | Lost], Any]] = [
    ("civitai", listing(civitai), OF_CIVITAI),
    ("kaggle", listing(kaggle), OF_KAGGLE),
    ("modelscope", listing(modelscope), OF_MODELSCOPE),
    ("modelhub_ai", of_modelhub_ai, [LISTED, CONFIG, INIT]),
    ("modelzoo_co", of_modelzoo, [OF_MODELZOO, OF_MODELZOO]),
]


@pytest.mark.parametrize(("hub", "describe", "good"), GOOD, ids=[hub for hub, *_ in GOOD])
def test_whatever_a_part_of_a_record_is_the_rest_is_described(
    hub: str, describe: Callable[[Any], list[Package] | Lost], good: Any
) -> None:
    packages: list[Package] = []
    for changed in variants(good):
        found = describe(changed)
        packages += [] if isinstance(found, Lost) else found
    batch = Batch()
    add_packages(batch, packages, hub, "crawl", datetime.now(UTC), None)
    assert batch.seen == batch.stored + batch.failed
    assert batch.stored


@pytest.mark.parametrize("versions", [True, 7, 1.5, "x", {"id": 3}])
def test_versions_of_another_kind_are_a_failure_of_their_field(lake: Lake, versions: object) -> None:
    with Civitai([OF_CIVITAI, {"id": 5, "modelVersions": versions}]) as site:
        crawl = mine(lake, "civitai", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.state) == (4, 4, "finished")
    ((subject, stage, reason),) = lake.sql("SELECT subject, stage, reason FROM failure").rows()
    assert (subject, stage) == ("civitai:5", "field")
    assert reason == f"modelVersions is {versions!r}, expected a list of objects"


def test_a_record_that_a_hubs_module_fails_at_is_lost_and_the_crawl_goes_on(lake: Lake) -> None:
    def fails(record: Any) -> list[Package] | Lost:
        if record["id"] == 5:
            raise TypeError("'bool' object is not iterable")
        return civitai.describe(record)

    broken = paged_miner(civitai.CIVITAI._replace(describe=fails))
    with Civitai([OF_CIVITAI, {"id": 5, "modelVersions": []}]) as site:
        crawl = broken(lake, endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures, crawl.state) == (4, 3, 1, "finished")
    row = lake.sql("SELECT subject, stage, reason FROM failure").row(0)
    assert row == ("5", "listing", "it could not be described: TypeError: 'bool' object is not iterable")
    assert examine(lake).is_empty()
