"""Civitai, by its REST API v1 (https://developer.civitai.com/site/reference): models, and versions as models, too.

Its listing loses models: some are skipped where one page follows another (github.com/civitai/civitai/issues/1372), and
without nsfw=true most are left out. How many an owner has is said at /creators, so that the two can be compared.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from miners.evaluations import number
from miners.http import HubClient
from miners.json_values import json_value
from miners.metadata import is_repository
from miners.package import Lost, Package
from miners.paged import paged_miner
from miners.paged_hub import Claim, Listed, PagedHub
from miners.requested import changed, records_of

HUB = "civitai"
SITE = "https://civitai.com"
MODELS, CREATORS = "/api/v1/models", "/api/v1/creators"
LISTED = {"limit": "100", "sort": "Newest", "nsfw": "true"}  # the most, in an order that does not change under us
OWNERS_A_PAGE, MOST_PAGES = "200", 100_000
BYTES_OF_A_KIB = 1024
PERMISSIONS = ("allowNoCredit", "allowCommercialUse", "allowDerivatives", "allowDifferentLicense")
SAID = ("name", "type", "mode", "nsfw", "nsfwLevel", "poi", "minor", "availability", *PERMISSIONS)
OF_A_VERSION = ("name", "baseModel", "baseModelType", "trainedWords", "air", "description", "usageControl")
SCANS = ("pickleScanResult", "pickleScanMessage", "virusScanResult", "virusScanMessage")
UNSCANNED = (None, "")


def first(parameters: Mapping[str, str]) -> str:
    """Give the address of the first page."""
    return f"{MODELS}?{urlencode({**LISTED, **parameters})}"


def read(body: bytes, address: str) -> Listed:
    """Read a page; the next one is this one with the cursor that it gives."""
    page = json_value(body, dict)
    metadata = page.get("metadata")
    cursor = metadata.get("nextCursor") if isinstance(metadata, dict) else None
    following = changed(address, cursor=str(cursor)) if cursor not in (None, "") else None
    return Listed(records_of(page, "items"), following)


def claims(ask: Callable[[str], bytes]) -> Iterator[Claim]:
    """Give how many models each owner has, as the hub says where it lists owners."""
    address = f"{CREATORS}?{urlencode({'limit': OWNERS_A_PAGE, 'page': 1})}"
    page = json_value(ask(address), dict)
    pages = page["metadata"].get("totalPages") if isinstance(page.get("metadata"), dict) else None
    for place in range(1, min(pages if type(pages) is int else 1, MOST_PAGES) + 1):
        if place > 1:
            page = json_value(ask(changed(address, page=str(place))), dict)
        owners = [owner for owner in records_of(page, "items") if isinstance(owner, dict)]
        for name, models in [(owner.get("username"), owner.get("modelCount")) for owner in owners]:
            if isinstance(name, str) and type(models) is int and _is_usable(name):
                yield Claim(name, models, first({"username": name}))
        if not owners:
            return


def _is_usable(owner: object) -> bool:
    return isinstance(owner, str) and "/" not in owner and is_repository(owner)


def describe(record: Mapping[str, Any]) -> list[Package] | Lost:
    """Turn a record into a package for the model and one for each version."""
    number_of_model = record.get("id")
    if type(number_of_model) is not int:
        return Lost(f"{MODELS}#{str(number_of_model)[:80]}", "it has no id")
    creator = record.get("creator")
    owner = creator.get("username") if isinstance(creator, dict) else None
    name = f"{owner}/{number_of_model}" if _is_usable(owner) else str(number_of_model)
    model = Package(name, hub_id=str(number_of_model))
    source = f"{MODELS}/{number_of_model}"
    model.link("home", f"{SITE}/models/{number_of_model}")
    tags = record.get("tags")
    model.tag(tags if isinstance(tags, list) else [])
    model.tag([record.get("type")], "type")
    for field in SAID:
        model.say(field, record.get(field), source)
    if not _is_usable(owner):
        model.say("creator", owner, source)
    _count(model, record.get("stats"), source)
    description = record.get("description")
    if isinstance(description, str) and description.strip():
        model.card = (source, description.encode("utf-8", "replace"))
    versions = record.get("modelVersions")
    listed = versions if isinstance(versions, list) else []
    found = [_version(model, version) for version in listed if isinstance(version, dict)]
    if not isinstance(versions, list) or len(found) < len(versions):
        model.problems.append(f"modelVersions is {repr(versions)[:80]}, expected a list of objects")
    return [model, *[version for version in found if version]]


def _count(package: Package, stats: object, source: str) -> None:
    counted = stats if isinstance(stats, dict) else {}
    package.take("downloads_all_time", int, counted.get("downloadCount"), source)
    package.take("likes", int, counted.get("thumbsUpCount"), source)
    for name, value in counted.items():
        if name not in ("downloadCount", "thumbsUpCount"):
            package.say(f"stats.{name}", value, source)


def _version(model: Package, record: Mapping[str, Any]) -> Package | None:
    if type(record.get("id")) is not int:
        model.problems.append(f"a version's id is {repr(record.get('id'))[:80]}, expected a whole number")
        return None
    version = Package(f"{model.name}/{record['id']}", hub_id=str(record["id"]))
    place = f"/api/v1/model-versions/{record['id']}"
    version.link("page", f"{HUB}:{model.name}")
    version.link("home", f"{SITE}/models/{model.hub_id}?modelVersionId={record['id']}")
    version.tag([record.get("baseModel")], "base_model")
    for field in OF_A_VERSION:
        version.say(field, record.get(field), place)
    version.take_time("created_at", record.get("createdAt") or record.get("publishedAt"), place)
    version.take_time("modified_at", record.get("updatedAt"), place)
    _count(version, record.get("stats"), place)
    files = record.get("files")
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict):
            _add_file(version, file, place)
    return version


def _add_file(version: Package, file: Mapping[str, Any], source: str) -> None:
    path, kib, hashes = file.get("name"), number(file.get("sizeKB")), file.get("hashes")
    sha256 = hashes.get("SHA256") if isinstance(hashes, dict) else None
    size = round(kib * BYTES_OF_A_KIB) if kib is not None and 0 <= kib < 2**50 else None
    version.add_file(path, size, sha256, source)
    version.say("hashes", {"file": path, "hashes": hashes} if hashes else None, source)
    version.say("file", {"file": path, **{name: file.get(name) for name in ("type", "metadata")}}, source)
    scans = {name: file[name] for name in SCANS if file.get(name) not in UNSCANNED}
    version.say("scan", {"file": path, **scans} if scans else None, source)


def client(endpoint: str) -> HubClient:
    """Make a client that shows CIVITAI_API_TOKEN, if it is set, to Civitai and to nobody else."""
    return HubClient(endpoint, token=os.environ.get("CIVITAI_API_TOKEN") or False)


ASKED = {"search": "query", "author": "username", "sort": "sort"}
CIVITAI = PagedHub(HUB, SITE, ASKED, first, read, describe, client, claims)
mine = paged_miner(CIVITAI)
