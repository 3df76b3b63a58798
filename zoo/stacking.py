"""Reads weights from where they lie, of one model or stacked, each straight from its file into its place."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from schemas import DataError, Lake, UsageError
from schemas.weights import as_bytes, is_run, read_safetensors
from zoo.locate import InFiles, InShard, Place
from zoo.placed import Placed, Source
from zoo.population import Weights


def read_weights(lake: Lake, place: Place) -> Weights:
    """Read the weights that lie in a place which `locate` found."""
    if isinstance(place, InShard):
        return lake.weights.read_member(place.shard, place.row)
    return _read_files(place)


def stacked(lake: Lake, models: Placed, names: Sequence[str] | None) -> Weights:
    """Read shard by shard, each once, and put every model into its row.

    Raises:
        UsageError: Models differ in their shapes, or lack one of the tensors of these names.
        DataError: Files are damaged or gone.
    """
    sources = models.sources(lake)
    first = _read_source(lake, sources[0], names)
    if len(sources) == 1:
        return first
    whole = {name: tensor.new_empty(models.rows.height, *tensor.shape[1:]) for name, tensor in first.items()}
    for number, source in enumerate(sources):
        part = _read_source(lake, source, names) if number else first
        _check_alike(models, whole, source, part)
        targets = source.targets
        chosen = slice(int(targets[0]), int(targets[-1]) + 1) if is_run(targets) else targets
        for name, tensor in part.items():
            as_bytes(whole[name])[chosen] = as_bytes(tensor)
    return whole


def _read_source(lake: Lake, source: Source, names: Sequence[str] | None) -> Weights:
    if isinstance(source.lies_in, str):
        assert source.rows is not None, "models in a shard have rows"  # noqa: S101 - says what Source promises
        return lake.weights.read_members(source.lies_in, source.rows, names)
    read = _read_files(source.lies_in)
    if missing := [name for name in names or () if name not in read]:
        have = ", ".join(sorted(read)[:10])
        raise UsageError(f"{source.lies_in.paths[0]} has no tensor {missing[0]!r}; it has {have}")
    chosen = {name: read[name] for name in names} if names is not None else read
    return {name: tensor.expand(len(source.targets), *tensor.shape) for name, tensor in chosen.items()}


def _read_files(place: InFiles) -> Weights:
    weights: Weights = {}
    for path in place.paths:
        tensors = read_safetensors(path)
        twice = weights.keys() & tensors.keys()
        if twice:
            raise DataError(f"{path.parent} has tensor {min(twice)} in several files, so its weights are ambiguous")
        weights |= tensors
    return weights


def _check_alike(models: Placed, whole: Mapping[str, Tensor], source: Source, part: Mapping[str, Tensor]) -> None:
    for name in sorted({*whole, *part}):
        mine, theirs = _kind(whole.get(name)), _kind(part.get(name))
        if mine != theirs:
            ids = models.rows["model_id"]
            raise UsageError(
                f"these cannot be stacked: tensor {name} is {mine} in {ids[0]} and {theirs} in "
                f"{ids[int(source.targets[0])]}; "
                "select models of the same shapes, e.g. with WHERE architecture = ... AND width = ..."
            )


def _kind(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{list(tensor.shape[1:])} {str(tensor.dtype).removeprefix('torch.')}"
