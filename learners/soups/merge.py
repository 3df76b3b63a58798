"""Merges the models that a query selects, from disk to disk, into a repository and a model of the lake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from learners.soups.card import Recipe, write_card
from learners.soups.check.described import Given, given_descriptions
from learners.soups.check.mergeability import Selection, query_of
from learners.soups.files.merge_files import Ingredients, Progress, merge_files
from learners.soups.files.stored import Stored
from learners.soups.files.writing import SHARD_BYTES
from learners.soups.kitchen import DATA_NEEDS, Kitchen
from learners.soups.licences import Licences, combined_licence, published_origins
from learners.soups.orders import DTYPES, SAMPLES, Order, Request, order
from learners.soups.registering import Made, register
from learners.soups.repository import check_free, copy_of_base, whole_folder
from schemas import Lake, UsageError


@dataclass(frozen=True)
class Merged:
    """A merged model that now stands in the lake.

    Attributes:
        model_id: Its name in the lake, made:merge/...
        folder: The repository with its weights, configuration and card.
        method: The method's name.
        ingredients: The models that were merged.
        parent: What they come from, where that took part.
        accuracy: By split, where it is known how the model runs and its data is at hand.
        warnings: Why merging these was unwise, if it was forced.
        notes: What one should know of it.
    """

    model_id: str
    folder: Path
    method: str
    ingredients: tuple[str, ...]
    parent: str | None
    accuracy: Mapping[str, float]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def merge(
    lake: Lake,
    sql: Selection,
    method: str = "linear",
    *,
    parent: str | None = None,
    to: str | Path | None = None,
    keep: Sequence[str] = (),
    align: str | None = None,
    repair: bool = False,
    dtype: str | None = None,
    precision: str = "float32",
    seed: int = 0,
    force: bool = False,
    shard_bytes: int = SHARD_BYTES,
    samples: int = SAMPLES,
    progress: Progress | None = None,
    description: Given = (),
    **settings: Any,
) -> Merged:
    """Merge all models that a query selects, from disk to disk, whatever their size.

    What is impossible, or unwise and not forced, is refused before a weight is merged. The same selection and settings
    give the same model again. Models that were trained here are evaluated, with batch-norm statistics estimated anew.

    Args:
        lake: Where the models are, and the merged one goes.
        sql: Any query that returns `model_id` (and `epoch`; and `weight`, as the setting `weights` of a method); the
            order of its rows counts for methods of one run's checkpoints. Or names of models in that order, each
            `model_id` or `model_id@epoch`.
        method: A name in `learners.soups.methods.METHODS`.
        parent: model_id of the model that they were fine-tuned from, or `model_id@epoch` for a checkpoint of it;
            without it what lineage says, if the method needs one: a model, or checkpoint 0 of a run that started as all
            did. The merged model has the parent's layout, configuration and tokenizer, or the first one's.
        to: Folder of the repository; without it one inside of the lake.
        keep: Patterns of tensor names (`head.*`) that are taken from the base as they are; others may lack them.
        align: Align the models with the first one before, by `weights` or `activations`; see `learners.align`.
        repair: Give units of the merged model the mean moments of the ingredients' (REPAIR).
        dtype: Type of the merged tensors, float16, bfloat16, float32 or float64; without it that of the base.
        precision: Type that is computed in, float32 or float64.
        seed: What a method draws hangs on it.
        force: Merge even where that is possible but unwise.
        shard_bytes: Largest size of a file of weights.
        samples: Training samples of each model that Fisher information and Gram matrices are computed from.
        progress: Is called after each tensor.
        description: How models are built of which the lake does not know it, mined ones say; of several that one is
            meant whose tensors have the names and shapes of the model's. By it they are aligned, repaired, evaluated.
        settings: Those of the method.

    Raises:
        UsageError: The models cannot or should not be merged, a setting cannot be, something that is needed is not to
            be had, or the folder is there already. The message says what would help.
        DataError: A file of weights is damaged.
        OutsideError: The disk is full or cannot be written.
    """
    if shard_bytes < 1:
        raise UsageError(f"shard_bytes = {shard_bytes}: expected at least 1")
    place = Path(to) if to is not None else None
    given = given_descriptions(description)
    query = query_of(lake, sql)
    request = Request(query, method, parent, tuple(keep), dtype, precision, seed, place, align, repair, given, samples)
    ordered = order(lake, request, settings, force)
    return _merged(lake, ordered, Kitchen(ordered.models, samples, repair), shard_bytes, progress)


def _merged(lake: Lake, order: Order, kitchen: Kitchen, shard_bytes: int, progress: Progress | None) -> Merged:
    request, folder = order.request, order.folder(lake)
    check_free(folder, replace=request.to is None)
    with whole_folder(folder, replace=request.to is None) as beside:
        out = DTYPES[request.dtype] if request.dtype else None
        copy_of_base(order.base, beside, order.models, request.dtype)
        with TemporaryDirectory(dir=beside) as scratch:
            ingredients = _ingredients(order, kitchen, Path(scratch))
            written = merge_files(
                order.plan, ingredients, beside, dtype=out, shard_bytes=shard_bytes, progress=progress
            )
        notes = (*order.report.notes, *order.said, *kitchen.finish(beside))
        measured = kitchen.accuracy(beside)
        origins = published_origins(lake, [facts.model_id for facts in order.everybody])
        licences = combined_licence(lake, list(origins.values()))
        write_card(_recipe(order, written, notes, licences, list(origins)), beside)
    made = Made(
        name=order.name,
        folder=folder.resolve(),
        base=order.base,
        ingredients=order.models,
        parent=order.elder,
        method=request.method,
        settings=order.settings() | {"warnings": order.warnings, "notes": notes},
        license=licences.licence,
        measured=measured,
    )
    return Merged(
        model_id=register(lake, made),
        folder=folder,
        method=request.method,
        ingredients=tuple(facts.model_id for facts in order.models),
        parent=order.elder.name if order.elder else None,
        accuracy={split: value for split, (value, _) in measured.items()},
        warnings=order.warnings,
        notes=notes,
    )


def _recipe(
    order: Order, written: Mapping[str, Stored], notes: tuple[str, ...], licences: Licences, origins: Sequence[str]
) -> Recipe:
    """What the merged model's card tells."""
    return Recipe(
        name=order.name,
        sql=order.request.sql,
        merge=order.plan,
        ingredients=order.selected,
        origins=origins,
        parent=order.elder,
        kept=order.request.keep,
        notes=(*order.warnings, *notes),
        licences=licences,
        treatment=order.request.treatment() | ({"force": True} if order.warnings else {}),
        types=sorted({str(tensor.torch_dtype).removeprefix("torch.") for tensor in written.values()}),
        weighted=order.weighted,
    )


def _ingredients(order: Order, kitchen: Kitchen, scratch: Path) -> Ingredients:
    """Where all tensors lie, and what the method needs of data, which is computed and goes into a folder."""
    data = {need: kitchen.computed(need, scratch) for need in DATA_NEEDS if need in order.plan.method.needs}
    stored = tuple(facts.stored or {} for facts in order.models)
    return Ingredients(
        models=stored,
        parent=order.elder.stored if order.elder else None,
        layout=order.base.stored or {},
        kept=order.request.keep,
        names=tuple(facts.name for facts in order.everybody),
        **data,
    )
