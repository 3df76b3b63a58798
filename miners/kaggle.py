"""Kaggle Models, by the API of Kaggle's own client (kagglesdk: GET /api/v1/models/list).

A model has variations, one or more for each framework, with licences, sizes and base models of their own: each is a
model under it, named as Kaggle's tools name it, owner/model/framework/variation.
"""

import base64
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from miners.http import HubClient
from miners.json_values import json_value
from miners.metadata import is_repository
from miners.package import Lost, Package
from miners.paged import paged_miner
from miners.paged_hub import Listed, PagedHub
from miners.papers import addresses
from miners.requested import changed, records_of

HUB = "kaggle"
SITE = "https://www.kaggle.com"
MODELS = "/api/v1/models/list"
LISTED = {"pageSize": "100", "sortBy": "LIST_MODELS_ORDER_BY_CREATE_TIME"}
SAID = ("title", "subtitle", "author", "provenanceSources")
OF_A_VARIATION = ("fineTunable", "overview", "usage", "versionNumber", "modelInstanceType", "externalBaseModelUrl")
TASK = re.compile(r"\s*task\s*>.*", re.IGNORECASE | re.DOTALL)  # the full path of a tag: "task > text generation"
HUGGING_FACE = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([^/?#\s]+/[^/?#\s]+)/?")


def first(parameters: Mapping[str, str]) -> str:
    """Give the address of the first page."""
    return f"{MODELS}?{urlencode({**LISTED, **parameters})}"


def read(body: bytes, address: str) -> Listed:
    """Read a page; the next one is this one with the token that it gives."""
    page = json_value(body, dict)
    token, total = page.get("nextPageToken"), page.get("totalResults")
    following = changed(address, pageToken=token) if isinstance(token, str) and token else None
    return Listed(records_of(page, "models"), following, total if type(total) is int and total > 0 else None)


def describe(record: Mapping[str, Any]) -> list[Package] | Lost:
    """Turn a record into a package for the model and one for each variation."""
    ref = record.get("ref")
    if not isinstance(ref, str) or ref.count("/") != 1 or not is_repository(ref):
        return Lost(f"{MODELS}#{str(record.get('id'))[:80]}", f"ref is {repr(ref)[:80]}, expected owner/model")
    model = Package(ref, hub_id=str(record["id"]) if type(record.get("id")) is int else None)
    source = f"/api/v1/models/{ref}/get"
    model.link("home", record.get("url") or f"{SITE}/models/{ref}")
    for name in SAID:
        model.say(name, record.get(name), source)
    for address in addresses(record.get("provenanceSources")):
        model.link("code", address)
    _add_tags(model, record.get("tags"))
    model.take("likes", int, record.get("voteCount"), source)
    model.take("private", bool, record.get("isPrivate"), source)
    model.take_time("created_at", record.get("publishTime"), source)
    model.take_time("modified_at", record.get("updateTime"), source)
    if isinstance(record.get("description"), str) and record["description"].strip():
        model.card = (source, record["description"].encode("utf-8", "replace"))
    variations = record.get("instances") or []
    found = (
        [_variation(model, one) for one in variations if isinstance(one, dict)] if isinstance(variations, list) else []
    )
    return [model, *[variation for variation in found if variation]]


def _add_tags(model: Package, tags: object) -> None:
    """Add tags by name; one that is a task is the model's task, if it is the only one."""
    found = [tag for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else []
    tasks = [tag.get("name") for tag in found if TASK.fullmatch(str(tag.get("fullPath")))]
    model.tag([tag.get("name") for tag in found])
    model.tag(tasks, "task")
    named = [task for task in tasks if isinstance(task, str) and task.strip()]
    model.task = named[0].strip() if len(named) == 1 else None


def _variation(model: Package, record: Mapping[str, Any]) -> Package | None:
    framework, slug = record.get("framework"), record.get("slug")
    handle = _handle(model.name, framework, slug)
    if handle is None:
        model.problems.append(f"a variation is {repr(framework)[:40]}, {repr(slug)[:40]}, expected two names")
        return None
    variation = Package(handle, library=str(framework), task=model.task)
    source = f"/api/v1/models/{handle}/get"
    variation.hub_id = str(record["id"]) if type(record.get("id")) is int else None
    variation.link("page", f"{HUB}:{model.name}")
    variation.link("home", record.get("url") or f"{SITE}/models/{handle}")
    for name in OF_A_VARIATION:
        variation.say(name, record.get(name), source)
    license_ = record.get("licenseName")
    if isinstance(license_, str) and license_.strip():
        variation.licenses.append(license_.strip())
    variation.take("stored_bytes", int, record.get("totalUncompressedBytes") or None, source)
    data = record.get("trainingData")
    for dataset in data if isinstance(data, list) else ():
        variation.link("dataset", dataset)
    _add_parents(variation, record)
    return variation


def _handle(model: str, framework: object, slug: object) -> str | None:
    parts = [part for part in (framework, slug) if isinstance(part, str) and "/" not in part and is_repository(part)]
    return "/".join([model, *parts]) if len(parts) == 2 else None


def _add_parents(variation: Package, record: Mapping[str, Any]) -> None:
    """Add what the variation is said to come from: another variation, or a repository of the Hugging Face Hub."""
    base = record.get("baseModelInstanceInformation")
    if isinstance(base, dict):
        owner = base.get("owner")
        slug = owner.get("slug") if isinstance(owner, dict) else None
        name = f"{slug}/{base.get('modelSlug')}"
        handle = _handle(name, base.get("framework"), base.get("instanceSlug")) if is_repository(name) else None
        if slug and handle:
            variation.parents.append((f"{HUB}:{handle}", "base"))
        else:
            variation.problems.append(f"baseModelInstanceInformation is {repr(base)[:80]}, which names no variation")
    outside = record.get("externalBaseModelUrl")
    if isinstance(outside, str) and (match := HUGGING_FACE.fullmatch(outside.strip())) and is_repository(match[1]):
        variation.parents.append((f"huggingface:{match[1]}", "base"))


def client(endpoint: str) -> HubClient:
    """Make a client that shows KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY, to Kaggle and to nobody else."""
    token, user, key = (os.environ.get(f"KAGGLE_{name}") for name in ("API_TOKEN", "USERNAME", "KEY"))
    if not token and user and key:
        basic = base64.b64encode(f"{user}:{key}".encode()).decode()
        return HubClient(endpoint, token=False, headers={"authorization": f"Basic {basic}"})
    return HubClient(endpoint, token=token or False)


ASKED = {"search": "search", "author": "owner", "sort": "sortBy"}
KAGGLE = PagedHub(HUB, SITE, ASKED, first, read, describe, client)
mine = paged_miner(KAGGLE)
