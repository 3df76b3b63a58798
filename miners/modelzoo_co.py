"""modelzoo.co as a catalogue: its JSON API lists the models, and tells more of each under its slug.

The API is not documented. What is known of it is what PTMTorrent (MSR 2023) found: it wants a Referer.
"""

import re
from pathlib import Path
from typing import Any, TypeGuard

from miners.catalogue import Catalogue, Described, Files, miner
from miners.http import HubClient
from miners.json_values import json_value
from miners.metadata import is_repository
from miners.package import Lost, Package
from miners.papers import link_papers
from miners.raw import keep
from miners.source import Contents
from schemas.errors import DataError, HubError

HUB = "modelzoo_co"
SITE = "https://modelzoo.co"
LISTED_AT = "/api/models/0/"
LISTING = "api/models/0.json"
WANTED = re.compile(r"api/models/[^/]+\.json")
HAS_GONE = 12  # models in a row without an answer


def wanted(path: str, size: int) -> bool:
    """Say whether a file is an answer of the API: `api/models/0.json`, the listing, or `api/models/<slug>.json`."""
    return WANTED.fullmatch(path) is not None


def client(endpoint: str) -> HubClient:
    """Make a client that says it comes from the site itself, without which the API refuses."""
    return HubClient(endpoint, token=False, headers={"referer": f"{endpoint.rstrip('/')}/"})


def fetch(client: HubClient, folder: Path) -> Contents:
    """Fetch the listing, then what the API tells of each model; a model without an answer keeps what is listed.

    Raises HubError if the site does not answer, answers something else, or stops answering.
    """
    listing = client.get(LISTED_AT)
    keep(folder, "listing", [listing])
    try:
        records = _records(listing.body)
    except DataError as error:
        advice = "the site may be gone; give answers that were saved as the source"
        raise HubError(f"{client.endpoint} answers with no list of models: {error}; {advice}") from error
    found = Contents({LISTING: listing.body})
    failed = 0
    for place, slug in enumerate(_slugs(records)):
        try:
            answer = client.get(f"/api/models/{slug}/")
        except HubError as error:
            found.refused[f"/api/models/{slug}/"] = str(error)
            found.incomplete.add(slug)
            failed += 1
            if failed == HAS_GONE:
                raise HubError(f"{client.endpoint} has stopped answering: {error}") from error
            continue
        failed = 0
        keep(folder, f"{place:05d}", [answer])
        found.files[f"api/models/{slug}.json"] = answer.body
    return found


def _records(listing: bytes) -> list[Any]:
    models = json_value(listing, dict).get("models")
    if not isinstance(models, list):
        raise DataError(f"its models are {str(models)[:80]!r}, expected a list")
    return models


def _slugs(records: list[Any]) -> list[str]:
    slugs = [record.get("slug") for record in records if isinstance(record, dict)]
    return list(dict.fromkeys(slug for slug in slugs if _is_slug(slug)))


def _is_slug(slug: object) -> TypeGuard[str]:
    return isinstance(slug, str) and "/" not in slug and slug not in (".", "..") and is_repository(slug)


def describe(files: Files) -> Described:
    """Turn the listing's records into packages, with what the API tells of each."""
    found = Described()
    try:
        records = _records(files.get(LISTING, b""))
    except DataError as error:
        found.unread.append(Lost(LISTING, str(error)))
        return found
    for place, record in enumerate(records):
        slug = record.get("slug") if isinstance(record, dict) else None
        if isinstance(record, dict) and _is_slug(slug):
            found.packages.append(_package(slug, record, files, found))
        else:
            found.lost.append(Lost(f"{LISTING}#{place}", f"{str(record)[:80]!r} has no slug that names a model"))
    return found


def _package(slug: str, record: dict[str, Any], files: Files, found: Described) -> Package:
    path, told = f"api/models/{slug}.json", {}
    if path in files:
        try:
            told = json_value(files[path], dict)
        except DataError as error:
            found.unread.append(Lost(path, str(error)))
    said = {name: value for name, value in [*record.items(), *told.items()] if value is not None}
    package = Package(slug)
    package.take("likes", int, said.get("stars"), path)
    package.take("library", str, said.get("framework"), path)
    package.hub_id = str(said["id"]) if type(said.get("id")) is int else None
    package.link("home", f"{SITE}/model/{slug}")
    package.link("code", said.get("link"))
    for name in ("title", "description"):
        package.say(name, said.get(name), path)
    _add_lists(package, said, path)
    page = said.get("long_desc")
    if isinstance(page, str) and page.strip():
        package.card = (path, page.encode("utf-8", "replace"))
    return package


def _add_lists(package: Package, said: dict[str, Any], path: str) -> None:
    categories = said.get("categories")
    for category in categories if isinstance(categories, list) else ():
        package.tag([category.get("slug") if isinstance(category, dict) else category], "category")
    papers = said.get("papers")
    if isinstance(papers, dict):
        package.say("papers", papers, path)
        link_papers(package, papers.values())


CATALOGUE = Catalogue(HUB, SITE, wanted, fetch, describe, client)
mine = miner(CATALOGUE)
