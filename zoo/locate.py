"""Finds where the weights of models lie: a row of a shard in the lake, or safetensors files of a mined repository.

Only safetensors are ever opened. Other weight formats can run code when they are read, so that a
model that has nothing else is refused.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl
from huggingface_hub import try_to_load_from_cache

from schemas import DataError, Lake, UsageError
from zoo.mistakes import check_model_ids

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
OTHER_FORMATS = {".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".pb", ".joblib"}

CHECKPOINTS = """
SELECT model_id, epoch, final, shard, row FROM checkpoint WHERE model_id IN (SELECT unnest($ids)) ORDER BY epoch
"""
MODELS = "SELECT model_id, hub, owner, name, sha, location FROM model WHERE model_id IN (SELECT unnest($ids))"
FILES = "SELECT path FROM file WHERE model_id = $model_id ORDER BY path"
FAILED = "SELECT failed_epoch, reason FROM member WHERE model_id = $model_id AND state = 'failed'"
NEAR = "SELECT model_id FROM model ORDER BY levenshtein(model_id, $model_id), model_id LIMIT 3"


@dataclass(frozen=True)
class InShard:
    """Weights of a trained or made model: one row of a stacked shard of the lake's weight store."""

    shard: str
    row: int


@dataclass(frozen=True)
class InFiles:
    """Weights of a mined model: safetensors files that lie on this machine."""

    paths: tuple[Path, ...]
    repository: Path | None = None
    """The folder of the model's other files; None for a model that is a file and nothing else."""


Place = InShard | InFiles


def locate(lake: Lake, model_ids: Sequence[str], epochs: Sequence[int | None]) -> list[Place]:
    """Find the weights of each model; an epoch that is None means the final ones.

    Raises:
        UsageError: A model is unknown or has no such checkpoint, or its weights are not on this
            machine or in no format that is safe to open; the message says what to do.
        DataError: A mined repository is incomplete or damaged.
    """
    check_model_ids(model_ids)
    ids = list(dict.fromkeys(model_ids))
    rows = lake.sql(CHECKPOINTS, ids=ids)
    places: dict[tuple[str, int | None], Place] = {}
    for model_id, epoch, final, shard, row in rows.iter_rows():
        places[model_id, epoch] = InShard(shard, row)
        if final:
            places[model_id, None] = InShard(shard, row)
    absent = [key for key in dict.fromkeys(zip(model_ids, epochs, strict=True)) if key not in places]
    if absent:
        models = {row["model_id"]: row for row in lake.sql(MODELS, ids=ids).iter_rows(named=True)}
        for model_id, epoch in absent:
            known = rows.filter(model_id=model_id).get_column("epoch").to_list()
            places[model_id, epoch] = _mined(lake, models, model_id, epoch, known)
    return [places[key] for key in zip(model_ids, epochs, strict=True)]


def _mined(
    lake: Lake, models: dict[str, dict[str, str | None]], model_id: str, epoch: int | None, known: list[int]
) -> Place:
    """Find weights that are no checkpoint of the lake."""
    if known:
        have = ", ".join(map(str, known))
        raise UsageError(
            f"{model_id} has no checkpoint of epoch {epoch}: expected one of {have}, or none for the final"
        )
    if model_id not in models:
        near = lake.sql(NEAR, model_id=model_id).get_column("model_id").to_list()
        raise UsageError(
            f"{model_id} is not in this lake; " + (f"near it: {', '.join(near)}" if near else "it is empty")
        )
    if epoch is not None:
        raise UsageError(f"{model_id} was not trained in this lake and has no epochs; leave the epoch out")
    model = models[model_id]
    for epoch_failed, reason in lake.sql(FAILED, model_id=model_id).iter_rows():
        if epoch_failed is None:
            raise UsageError(f"{model_id} has no weights: {reason}; select WHERE state = 'trained'")
        raise UsageError(
            f"{model_id} has no weights: its training failed in epoch {epoch_failed} ({reason}); "
            "build its population again, or select WHERE state = 'trained'"
        )
    if model["location"] is not None:
        return _safetensors(model_id, Path(model["location"]))
    paths = lake.sql(FILES, model_id=model_id).get_column("path").to_list()
    if model["hub"] == "huggingface":
        return _cached(model_id, model, paths)
    raise UsageError(f"{model_id} has no weights on this machine; mine the folder in which they lie")


def _cached(model_id: str, model: dict[str, str | None], paths: list[str]) -> InFiles:
    """Look into the Hugging Face cache on this machine; nothing is fetched."""
    if paths and not any(path.endswith(".safetensors") for path in paths):
        _refuse_other_formats(model_id, paths)
    repository = "/".join(part for part in (model["owner"], model["name"]) if part)
    for path in (INDEX, SINGLE, *(path for path in paths if path.endswith(".safetensors"))):
        try:
            found = try_to_load_from_cache(repository, path, revision=model["sha"])
        except ValueError as error:
            raise UsageError(
                f"the Hugging Face cache has no place for {path} of {model_id} ({error}); "
                "put its files into a folder and mine that as a local one"
            ) from error
        if isinstance(found, str):
            return _safetensors(model_id, Path(found.removesuffix(path)))
    revision = f" --revision {model['sha']}" if model["sha"] else ""
    command = f'hf download {repository}{revision} --include "*.safetensors" "*.json" "*.model" "*.txt"'
    raise UsageError(f"the weights of {model_id} are not on this machine; fetch them with: {command}")


def _safetensors(model_id: str, folder: Path) -> InFiles:
    """Choose a repository's weight files: those of its index, or the usual one, or all that there are.

    A model may be a single file instead of a folder.
    """
    if folder.is_file():
        if folder.suffix != ".safetensors":
            _refuse_other_formats(model_id, [folder.name])
        return InFiles((within(folder.parent, folder.name),))
    if not folder.is_dir():
        raise DataError(f"{model_id} should lie in {folder}, which is gone; mine it again where it lies now")
    if (folder / INDEX).is_file():
        return InFiles(tuple(within(folder, name) for name in _indexed(folder)), folder)
    if (folder / SINGLE).is_file():
        return InFiles((within(folder, SINGLE),), folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    chosen = tuple(within(folder, path) for path in files if path.endswith(".safetensors"))
    if not chosen:
        _refuse_other_formats(model_id, files)
    return InFiles(chosen, folder)


def within(folder: Path, name: str) -> Path:
    """The path of a repository's file; it may be a link inside the repository, as in the Hugging Face cache.

    Raises:
        DataError: It is a link that leads elsewhere.
    """
    cached = folder.parent.name == "snapshots" and folder.parents[1].name.startswith("models--")
    root = folder.parents[1] if cached else folder
    if not (folder / name).resolve().is_relative_to(root.resolve()):
        raise DataError(f"{folder / name} is a link that leads out of {root}; it is not followed, put a copy there")
    return folder / name


def _indexed(folder: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(within(folder, INDEX).read_bytes())["weight_map"].values()))
        inside = all(".." not in PurePosixPath(name).parts and not name.startswith("/") for name in names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{folder / INDEX} is no index of safetensors files: {error!r}") from error
    if not inside:
        raise DataError(f"{folder / INDEX} names files outside its folder")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} lacks {missing[0]}, which its index names; fetch the repository again")
    return names


def _refuse_other_formats(model_id: str, paths: Sequence[str]) -> None:
    others = [path for path in paths if PurePosixPath(path).suffix in OTHER_FORMATS]
    if others:
        raise UsageError(
            f"{model_id} has its weights in {others[0]} and in no safetensors file; other formats can run code when "
            "they are opened, so convert it first (https://huggingface.co/spaces/safetensors/convert)"
        )
    raise UsageError(f"{model_id} has no weights: there is no safetensors file in it")


def selection(lake: Lake, sql: str, parameters: dict[str, object]) -> pl.DataFrame:
    """Run a query that selects models; gives its rows, errors as in `usable`."""
    return usable(lake.sql(sql, **parameters))


def usable(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the rows of a query that selects models, once it is sure that they do.

    Raises:
        UsageError: They have no column `model_id`, no text or a NULL in it, or there are none.
    """
    if "model_id" not in rows.columns:
        found = ", ".join(rows.columns) or "nothing"
        raise UsageError(f"the query returns {found}; it has to return model_id, and may return epoch")
    if rows.is_empty():
        raise UsageError(
            "the query selects no model; take a wider condition, or look at what it gives (weightlake sql, or lake.sql)"
        )
    if rows.get_column("model_id").null_count():
        raise UsageError("the query returns rows without model_id; add WHERE model_id IS NOT NULL")
    if not isinstance(rows.schema["model_id"], pl.String | pl.Categorical | pl.Enum):
        raise UsageError(
            f"the query returns a model_id of type {rows.schema['model_id']}; expected text, a model a row"
        )
    if "epoch" in rows.columns and not (rows.schema["epoch"].is_integer() or rows["epoch"].is_null().all()):
        raise UsageError(f"the query returns an epoch of type {rows.schema['epoch']}; cast it to INTEGER")
    return rows
