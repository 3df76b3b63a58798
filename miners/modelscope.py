"""ModelScope, by its OpenAPI (https://modelscope.cn/.well-known/openapi.json: GET /openapi/v1/models).

It gives 50 models a page, and of any question the first 3,000. What is beyond is said to be missing: ask for parts of
it by author, task or search.
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from miners.http import HubClient
from miners.json_values import json_value
from miners.metadata import is_repository
from miners.package import Lost, Package
from miners.paged import paged_miner
from miners.paged_hub import Listed, PagedHub
from miners.requested import changed, records_of
from schemas.errors import DataError

HUB = "modelscope"
SITE = "https://modelscope.cn"
MODELS = "/openapi/v1/models"
PAGE = 50
DEEPEST = 3000  # page_number * page_size may be no more
LISTED = {"sort": "last_modified", "page_number": "1", "page_size": str(PAGE)}
SAID = ("display_name", "description", "login_required")
BASE = "base_model"
RELATIONS = ("finetune", "adapter", "quantized", "merge")


def first(parameters: Mapping[str, str]) -> str:
    """Give the address of the first page."""
    return f"{MODELS}?{urlencode({**LISTED, **parameters})}"


def read(body: bytes, address: str) -> Listed:
    """Read a page; there is a next one where not all have been listed and this one is not the deepest."""
    answer = json_value(body, dict)
    data = answer.get("data")
    if not isinstance(data, dict):
        said = answer.get("message") or answer.get("code") or answer
        raise DataError(f"it holds no data: {str(said)[:80]}")
    records, total = records_of(data, "models"), data.get("total_count")
    following = None
    if address and records:
        place = int(parse_qs(urlsplit(address).query)["page_number"][0])
        are_all = type(total) is int and place * PAGE >= total
        following = None if are_all or (place + 1) * PAGE > DEEPEST else changed(address, page_number=str(place + 1))
    return Listed(records, following, total if type(total) is int and total > 0 else None)


def describe(record: Mapping[str, Any]) -> list[Package] | Lost:
    """Turn a record into a package."""
    name = record.get("id")
    if not isinstance(name, str) or name.count("/") != 1 or not is_repository(name):
        return Lost(f"{MODELS}#{str(name)[:80]}", f"id is {repr(name)[:80]}, expected owner/name")
    model, source = Package(name), f"{MODELS}/{name}"
    for field in SAID:
        model.say(field, record.get(field), source)
    tasks = record.get("tasks")
    named = [task for task in tasks if isinstance(task, str) and task.strip()] if isinstance(tasks, list) else []
    model.task = named[0].strip() if len(named) == 1 else None  # several are tags
    model.tag(named, "task")
    license_ = record.get("license")
    if isinstance(license_, str) and license_.strip():
        model.licenses.append(license_.strip())
    _add_tags(model, record.get("tags"))
    model.take("downloads_all_time", int, record.get("downloads"), source)
    model.take("likes", int, record.get("likes"), source)
    model.take("stored_bytes", int, record.get("file_size"), source)
    model.take("private", bool, record.get("private"), source)
    if isinstance(record.get("gated"), bool):
        model.gated = "yes" if record["gated"] else "no"
    model.take_time("created_at", record.get("created_at"), source)
    model.take_time("modified_at", record.get("last_modified"), source)
    return [model]


def _add_tags(model: Package, tags: object) -> None:
    """Add tags, those with a prefix under it, as the Hugging Face Hub has them: library:gguf, base_model:owner/name."""
    libraries = []
    for tag in [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else ():
        kind, _, value = tag.partition(":")
        is_prefixed = bool(value) and kind.isidentifier()
        model.tag([value if is_prefixed else tag], kind if is_prefixed else "plain")
        if kind == "library" and value:
            libraries.append(value)
        if kind == BASE and value:
            relation, _, parent = value.rpartition(":")
            if is_repository(parent):
                model.parents.append((f"{HUB}:{parent}", relation if relation in RELATIONS else "base"))
    model.library = libraries[0] if len(libraries) == 1 else None  # several are tags


def client(endpoint: str) -> HubClient:
    """Make a client that shows MODELSCOPE_API_TOKEN, if it is set, to ModelScope and to nobody else."""
    return HubClient(endpoint, token=os.environ.get("MODELSCOPE_API_TOKEN") or False)


ASKED = {"search": "search", "author": "owner", "task": "filter.task", "library": "filter.library", "sort": "sort"}
MODELSCOPE = PagedHub(HUB, SITE, ASKED, first, read, describe, client)
mine = paged_miner(MODELSCOPE)
