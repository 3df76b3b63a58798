"""Modelhub.ai as a catalogue (https://github.com/modelhub-ai): models.json, and the repository of each model."""

import re
from pathlib import Path
from typing import Any

from miners.answers import NotFound
from miners.catalogue import Catalogue, Described, Files, miner
from miners.github import SITE, github_client
from miners.http import HubClient
from miners.json_values import json_value
from miners.license_texts import recognised
from miners.package import Lost, Package, PackageFile
from miners.pages import Unreadable, records
from miners.papers import addresses, link_papers
from miners.raw import keep
from miners.source import Contents
from schemas.errors import DataError, HubError

HUB = "modelhub_ai"
LISTING = "models.json"
LISTED_AT = "/modelhub-ai/modelhub/raw/master/models.json"
CONFIG, LICENSE = "contrib_src/model/config.json", "contrib_src/license/model"
INIT, CARD = "init/init.json", "README.md"
OF_A_MODEL = (CONFIG, LICENSE, INIT, CARD)
WANTED = re.compile(rf"models/[^/]+/(?:{'|'.join(map(re.escape, OF_A_MODEL))})")
ADDRESS = re.compile(
    r"https://github\.com/(?P<owner>[A-Za-z0-9._-]{1,100})/(?P<name>[A-Za-z0-9._-]{1,100}?)(?:\.git)?/?"
)
BRANCH = re.compile(r"[A-Za-z0-9._-]{1,100}")
LISTED = ("name", "task_extended", "github", "github_branch", "backend", "gpu")


def wanted(path: str, size: int) -> bool:
    """Say whether a file matters: the listing, or one of the four that tell of a model, in `models/<repository>/`."""
    return path == LISTING or WANTED.fullmatch(path) is not None


def fetch(client: HubClient, folder: Path) -> Contents:
    """Fetch the listing, and of each model's repository the files that tell of it; what it lacks is left out."""
    listing = client.get(LISTED_AT)
    keep(folder, "listing", [listing])
    found = Contents({LISTING: listing.body})
    for place, record in enumerate(records(listing.body)):
        if isinstance(record, dict) and (address := _address(record)):
            _fetch_model(client, folder / f"{place:04d}", address, str(record.get("github_branch") or "master"), found)
    return found


def _fetch_model(client: HubClient, place: Path, address: re.Match[str], branch: str, found: Contents) -> None:
    if not BRANCH.fullmatch(branch):
        found.refused[address[0]] = f"{branch[:80]!r} is no branch's name"
        return
    answers = []
    for path in OF_A_MODEL:
        try:
            answer = client.get(f"/{address['owner']}/{address['name']}/raw/{branch}/{path}")
        except NotFound:
            continue
        except HubError as error:
            found.refused[f"{address[0]}: {path}"] = str(error)
            found.incomplete.add(f"{address['owner']}/{address['name']}")
            continue
        answers.append(answer)
        found.files[f"models/{address['name']}/{path}"] = answer.body
    if answers:
        keep(place.parent, place.name, answers)


def _address(record: dict[str, Any]) -> re.Match[str] | None:
    github = record.get("github")
    return ADDRESS.fullmatch(github) if isinstance(github, str) else None


def describe(files: Files) -> Described:
    """Turn the listing's records into packages, with what their repositories say."""
    found = Described()
    if LISTING not in files:
        found.unread.append(Lost(LISTING, "it is not there, so that no model is known"))
        return found
    for place, record in enumerate(records(files[LISTING])):
        address = _address(record) if isinstance(record, dict) else None
        if address is None or not isinstance(record, dict):
            reason = record.reason if isinstance(record, Unreadable) else "no repository on GitHub"
            found.lost.append(Lost(f"{LISTING}#{place}", reason))
        else:
            package = _package(record, address)
            _add_repository(package, files, f"models/{address['name']}", found)
            found.packages.append(package)
    return found


def _package(record: dict[str, Any], address: re.Match[str]) -> Package:
    package = Package(f"{address['owner']}/{address['name']}")
    package.take("hub_id", str, record.get("id"), LISTING)
    package.take("task", str, record.get("task_extended"), LISTING)
    for name in LISTED:
        package.say(name, record.get(name), LISTING)
    backends = record.get("backend")
    named = [one for one in backends if isinstance(one, str)] if isinstance(backends, list) else []
    package.library = named[0] if len(named) == 1 else None  # several are tags
    package.tag(named, "library")
    package.link("home", record["github"])
    package.link("code", record["github"])
    return package


def _add_repository(package: Package, files: Files, folder: str, found: Described) -> None:
    if body := files.get(f"{folder}/{CARD}"):
        package.card = (f"{folder}/{CARD}", body)
    for path, add in ((CONFIG, _add_config), (INIT, _add_files)):
        place = f"{folder}/{path}"
        if place in files:
            try:
                add(package, json_value(files[place], dict), place)
            except DataError as error:
                found.unread.append(Lost(place, str(error)))
    for license_ in recognised(files.get(f"{folder}/{LICENSE}", b"").decode("utf-8", "replace")):
        package.licenses.append(license_.spdx)
        package.say("license", license_.spdx, f"{folder}/{LICENSE}", license_.evidence)


def _add_config(package: Package, config: dict[str, Any], place: str) -> None:
    parts = {name: value for name in ("meta", "publication", "model") if isinstance(value := config.get(name), dict)}
    for part, fields in parts.items():
        for name, value in fields.items():
            package.say(f"{part}.{name}", value, place)
    package.take("task", str, parts.get("meta", {}).get("task"), place)
    package.take("architecture", str, parts.get("model", {}).get("architecture"), place)
    for address in addresses(parts.get("meta", {}).get("data_source")):
        package.link("dataset", address)
    for address in addresses(parts.get("model", {}).get("provenance")):
        package.link("code", address)
    publication = parts.get("publication", {})
    link_papers(package, [publication.get("url")], publication.get("bibtex"))


def _add_files(package: Package, init: dict[str, Any], place: str) -> None:
    package.say("docker_id", init.get("docker_id"), place)
    external = init.get("external_contrib_files")
    for file in external if isinstance(external, list) else ():
        path = file.get("dest_file_path") if isinstance(file, dict) else None
        if isinstance(path, str) and path.strip("/"):
            package.files.append(PackageFile(path.strip("/")))
            package.say("file_address", file.get("src_url"), place)


CATALOGUE = Catalogue(HUB, SITE, wanted, fetch, describe, github_client)
mine = miner(CATALOGUE)
