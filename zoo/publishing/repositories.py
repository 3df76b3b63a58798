"""Publishes models as model repositories: a folder with weights, configuration and model card, as hubs have them."""

import json
import os
import shutil
from pathlib import Path

from safetensors.torch import save

from schemas import Lake, OutsideError, UsageError
from schemas.files import write_whole
from zoo.architectures import ARCHITECTURES
from zoo.describe import Description, describe_all
from zoo.load import read_weights
from zoo.locate import locate, selection
from zoo.publishing.model_card import model_card

MODELS = "SELECT * FROM models WHERE model_id IN (SELECT unnest($ids))"
INGREDIENTS = """
SELECT child_id, list(parent_id ORDER BY parent_id) AS parents
FROM lineage JOIN product ON child_id = product.model_id WHERE child_id IN (SELECT unnest($ids)) GROUP BY child_id
"""


def publish_repositories(
    lake: Lake, sql: str, folder: str | Path, *, license_id: str | None = None, **parameters: object
) -> int:
    """Write each selected model as a repository `folder/<owner>/<name>/`.

    A repository holds model.safetensors, config.json and README.md, the model card. What is there
    with the same content is left as it is.

    Args:
        lake: Where the models are.
        sql: Any query that returns `model_id`; the final weights are published.
        folder: Where the repositories go.
        license_id: Licence that the cards state, as hubs name it, e.g. `cc0-1.0`; None states none.
        parameters: Values for `$name` in the query.

    Returns:
        How many repositories stand in the folder for this selection.

    Raises:
        UsageError: The query selects nothing, epochs, or a model that nobody here knows how to run.
        OutsideError: The folder cannot be written.
    """
    rows = selection(lake, sql, parameters)
    if "epoch" in rows.columns:
        raise UsageError("a repository holds a model's final weights; leave the column epoch out of the query")
    ids = list(dict.fromkeys(rows.get_column("model_id").to_list()))
    descriptions = describe_all(lake, ids)
    models = {row["model_id"]: row for row in lake.sql(MODELS, ids=ids).iter_rows(named=True)}
    ingredients = dict(lake.sql(INGREDIENTS, ids=ids).iter_rows())
    for model_id, description, place in zip(ids, descriptions, locate(lake, ids, [None] * len(ids)), strict=True):
        model = models[model_id]
        card = model_card(model, description, ingredients.get(model_id, []), license_id)
        files = {
            "model.safetensors": save(read_weights(lake, place), metadata={"format": "pt"}),
            "config.json": json.dumps(_configuration(description), indent=2).encode() + b"\n",
            "README.md": card.encode(),
        }
        _write_repository(repository_folder(Path(folder), model["owner"], model["name"]), files)
    return len(ids)


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
