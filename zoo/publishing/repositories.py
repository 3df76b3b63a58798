"""Publishes models as model repositories: a folder with weights, configuration and model card, as hubs have them."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from schemas import Lake, OutsideError, UsageError
from schemas.files import write_whole
from zoo.architectures import ARCHITECTURES
from zoo.describe import Description, describe_all
from zoo.load import read_weights
from zoo.locate import locate, selection
from zoo.publishing.address import SCHEME, OnHub, parse_address
from zoo.publishing.model_card import model_card
from zoo.publishing.written import json_bytes, text_bytes

MODELS = "SELECT * FROM models WHERE model_id IN (SELECT unnest($ids))"
INGREDIENTS = """
SELECT child_id, list(parent_id ORDER BY parent_id) AS parents
FROM lineage JOIN product ON child_id = product.model_id WHERE child_id IN (SELECT unnest($ids)) GROUP BY child_id
"""


@dataclass(frozen=True)
class Repository:
    """A model on its way out: its repository's owner and name, and the files."""

    owner: str | None
    name: str
    files: dict[str, bytes]


def publish_repositories(
    lake: Lake,
    sql: str,
    to: str | Path,
    *,
    license_id: str | None = None,
    private: bool = False,
    endpoint: str | None = None,
    **parameters: object,
) -> int:
    """Write each selected model as a repository, `to/<owner>/<name>/`, or upload it to the Hugging Face Hub.

    A repository holds model.safetensors, config.json and README.md, the model card. What is there
    with the same content is left as it is.

    Args:
        lake: Where the models are.
        sql: Any query that returns `model_id`; the final weights are published.
        to: Folder where the repositories go; or hf:owner, where each is called population-member; or hf:owner/name
            for one model.
        license_id: Licence that the cards state, as hubs name it, e.g. `cc0-1.0`; None states none.
        private: Make repositories that only their owner sees, where they are made.
        endpoint: URL of another hub.
        parameters: Values for `$name` in the query.

    Returns:
        How many repositories stand there for this selection.

    Raises:
        UsageError: The query selects nothing, epochs, or a model that nobody here knows how to run; or several
            models for one repository of a hub.
        OutsideError: The folder cannot be written.
        HubError: The hub cannot be reached, or refuses; the same call goes on from there.
    """
    rows = selection(lake, sql, parameters)
    if "epoch" in rows.columns:
        raise UsageError("a repository holds a model's final weights; leave the column epoch out of the query")
    ids = list(dict.fromkeys(rows.get_column("model_id").to_list()))
    models = {row["model_id"]: row for row in lake.sql(MODELS, ids=ids).iter_rows(named=True)}
    owner = owner_on_hub(to, len(ids))
    if owner is None:
        for repository in _repositories(lake, ids, models, _own_name, license_id):
            _write_repository(repository_folder(Path(to), repository.owner, repository.name), repository.files)
        return len(ids)
    name_of = (lambda model: owner) if "/" in owner else (lambda model: f"{owner}/{model['owner']}-{model['name']}")
    for repository in _repositories(lake, ids, models, name_of, license_id):
        _send(lake, repository, private, endpoint)
    return len(ids)


def owner_on_hub(to: str | Path, models: int) -> str | None:
    """The owner, or owner/name, of a place on the hub; None for a folder.

    Raises:
        UsageError: It is no such place, or one repository for several models.
    """
    if isinstance(to, Path) or not to.startswith(SCHEME):
        return None
    if "/" not in to:
        parse_address(f"{to}/name")
        return to.removeprefix(SCHEME)
    address = parse_address(to)
    if models > 1:
        raise UsageError(f"{to} is one repository and these are {models} models; name the owner alone: hf:owner")
    return address.repository if isinstance(address, OnHub) else None


def _own_name(model: Mapping[str, Any]) -> str:
    return "/".join(part for part in (model["owner"], model["name"]) if part)


def _repositories(
    lake: Lake,
    ids: Sequence[str],
    models: Mapping[str, Mapping[str, Any]],
    name_of: Callable[[Mapping[str, Any]], str],
    license_id: str | None,
) -> Iterator[Repository]:
    """Make the repositories one after the other, so that one model is in memory at a time."""
    descriptions = describe_all(lake, ids)
    ingredients = dict(lake.sql(INGREDIENTS, ids=list(ids)).iter_rows())
    parents = sorted({elder for found in ingredients.values() for elder in found})
    elder_rows = lake.sql(MODELS, ids=parents).iter_rows(named=True) if parents else ()
    known = {row["model_id"]: name_of(row) for row in elder_rows}
    for model_id, description, place in zip(ids, descriptions, locate(lake, ids, [None] * len(ids)), strict=True):
        model = models[model_id]
        repository = name_of(model)
        elders = {elder: known.get(elder) for elder in ingredients.get(model_id, [])}
        made_of = {elder: there if there != repository else None for elder, there in elders.items()}
        card = model_card(model, description, made_of, license_id, repository)
        owner, _, name = repository.rpartition("/")
        yield Repository(
            owner or None,
            name,
            {
                "model.safetensors": save(read_weights(lake, place), metadata={"format": "pt"}),
                "config.json": json_bytes(_configuration(description)),
                "README.md": text_bytes(card),
            },
        )


def _send(lake: Lake, repository: Repository, private: bool, endpoint: str | None) -> None:
    """Upload a repository from a folder that is there for this moment."""
    from zoo.publishing.hub import upload  # here, since a folder needs no network

    with tempfile.TemporaryDirectory(prefix="weightlake-") as folder:
        for name, content in repository.files.items():
            Path(folder, name).write_bytes(content)
        target = f"{repository.owner}/{repository.name}"
        upload(Path(folder), target, list(repository.files), "model", private=private, endpoint=endpoint)


def _configuration(description: Description) -> dict[str, object]:
    return {
        "architectures": [ARCHITECTURES[description.architecture].__name__],
        "model_type": f"weightlake-{description.architecture}",
        "weightlake": description.model_dump(),
    }


def repository_folder(folder: Path, owner: str | None, name: str) -> Path:
    """Where a repository goes; a name from elsewhere must not lead out of the folder."""
    parts = [part for part in (owner, name) if part]
    if any(part in (".", "..") or "/" in part or "\0" in part for part in parts):
        raise UsageError(f"a repository cannot be called {'/'.join(parts)!r}")
    return folder.joinpath(*parts)


def _write_repository(place: Path, files: dict[str, bytes]) -> None:
    """Put a new repository into its place whole; in one that is there, replace the files that differ."""
    if place.exists():
        for name, content in files.items():
            path = place / name
            if not path.is_file() or path.read_bytes() != content:
                write_whole(path, content)
        return
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (beside / name).write_bytes(content)
        beside.rename(place)
    except OSError as error:
        raise OutsideError(f"cannot write {place}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
