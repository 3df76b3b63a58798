"""Merges models from files to files, one tensor at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor

from learners.soups.files.mapped import Mapped, is_finite, mapped, spans
from learners.soups.files.stored import Stored
from learners.soups.files.ties import tied_names
from learners.soups.files.writing import SHARD_BYTES, Planned, write_shards
from learners.soups.merging import Merge, merge_tensor, named
from schemas.errors import UsageError

PIECE = 1 << 17
"""Values that an elementwise method merges at once: the running sum stays in a core's own cache."""
WINDOW = 1 << 25
"""Values of all models together that are mapped at once for an elementwise method: few maps are made."""

Progress = Callable[[int, int, str], None]
"""Hears of tensors done, tensors in all, and the name of the one that has just been merged."""


@dataclass(frozen=True)
class Ingredients:
    """The tensors of the models that are merged.

    Attributes:
        models: A mapping of names to places for each; all have the names of `layout`.
        parent: Those of the model that they come from, if the method needs it.
        layout: Whose names, shapes and types the merged model has: the parent's, or the first model's.
        kept: Patterns of the names that are taken from the layout's model as they are.
        fishers: Fisher information of each model, if the method needs it.
        grams: Gram matrices of each model's inputs, if the method needs them.
        names: What messages call the models, and the parent after them.
    """

    models: tuple[Mapping[str, Stored], ...]
    parent: Mapping[str, Stored] | None
    layout: Mapping[str, Stored]
    kept: tuple[str, ...] = ()
    fishers: tuple[Mapping[str, Stored], ...] = ()
    grams: tuple[Mapping[str, Stored], ...] = ()
    names: tuple[str, ...] = ()

    @property
    def everything(self) -> tuple[Mapping[str, Stored], ...]:
        """The models, and the parent if it takes part."""
        return (*self.models, *([self.parent] if self.parent else []))

    def keeps(self, name: str) -> bool:
        """Whether a tensor is taken as it is."""
        return any(fnmatchcase(name, pattern) for pattern in self.kept)


def merge_files(
    merge: Merge,
    ingredients: Ingredients,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> dict[str, Stored]:
    """Merge models into safetensors files in a folder, and give where each tensor lies.

    Peak memory is a few times the largest tensor in the type of computation, however many models there are: about 3
    times for Model Stock, Karcher and SLERP, 5 for SCE, Breadcrumbs and DARE, 6 for TIES and DELLA; one or two more
    where the tensor is stored in another type. RegMean needs some more, of the largest Gram matrix in float64, and
    DELLA of a vector, which is sorted as a whole; elementwise methods map `WINDOW` values at a time instead.
    Tied tensors stay equal, whatever the method draws.

    Args:
        merge: How.
        ingredients: What.
        folder: An existing folder.
        dtype: Type of the merged floating-point tensors; without it that of the layout.
        shard_bytes: Largest size of a file.
        progress: Is called after each tensor.

    Raises:
        UsageError: A model has values that are not finite, or the merged one would have.
        DataError: A file was changed while it was read.
        OutsideError: The disk is full, or cannot be written.
    """
    first = tied_names(ingredients.everything) if merge.method.seeded else {}
    planned = {name: _planned(tensor, dtype) for name, tensor in ingredients.layout.items()}
    done = 0

    def produce(name: str) -> Iterator[Tensor]:
        nonlocal done
        for piece in _pieces(merge, ingredients, name, first.get(name, name), dtype):
            if not ingredients.keeps(name) and not is_finite(piece):
                raise UsageError(_not_finite(ingredients, name, piece.dtype))
            yield piece
        done += 1
        if progress:
            progress(done, len(planned), name)

    return write_shards(folder, planned, produce, shard_bytes)


def _planned(tensor: Stored, dtype: torch.dtype | None) -> Planned:
    own = tensor.torch_dtype
    return Planned(dtype if dtype is not None and own.is_floating_point else own, tensor.shape)


def _pieces(
    merge: Merge, ingredients: Ingredients, name: str, drawn_as: str, dtype: torch.dtype | None
) -> Iterator[Tensor]:
    model, parent = ingredients.layout[name], ingredients.parent
    exact = not (model.torch_dtype.is_floating_point or model.torch_dtype.is_complex)
    if exact or ingredients.keeps(name):
        yield from (_as_it_is(name, mapped(model, begin, end), dtype) for begin, end in spans(model.values, WINDOW))
        return
    tensors = tuple(each[name] for each in ingredients.models)
    if not merge.method.elementwise and _broken(ingredients, name):  # sums show it by themselves, others may hide it
        raise UsageError(_not_finite(ingredients, name, model.torch_dtype))
    fishers = named(ingredients.fishers, name) if ingredients.fishers else None
    if not merge.method.elementwise:
        elder = mapped(parent[name]) if parent else None
        grams = Mapped(named(ingredients.grams, name)) or None
        certain = None if fishers is None else Mapped(fishers)
        yield merge_tensor(merge, drawn_as, Mapped(tensors), elder, certain, grams, dtype)
        return
    for begin, end in spans(model.values, max(1, WINDOW // (len(tensors) + len(fishers or ())))):
        yield from _window(  # it alone holds the maps, so that they are gone before the next are made
            merge,
            drawn_as,
            [mapped(each, begin, end) for each in tensors],
            mapped(parent[name], begin, end) if parent else None,
            None if fishers is None else [mapped(each, begin, end) for each in fishers],
            dtype,
        )


def _window(
    merge: Merge,
    drawn_as: str,
    models: Sequence[Tensor],
    parent: Tensor | None,
    fishers: Sequence[Tensor] | None,
    dtype: torch.dtype | None,
) -> Iterator[Tensor]:
    for begin, end in spans(len(models[0]), PIECE):
        pieces = [values[begin:end] for values in models]
        elder = None if parent is None else parent[begin:end]
        certain = None if fishers is None else [values[begin:end] for values in fishers]
        yield merge_tensor(merge, drawn_as, pieces, elder, certain, stored=dtype)


def _as_it_is(name: str, piece: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Values that are kept, in the type that is stored; raises UsageError for those that it cannot hold."""
    if dtype is None or not piece.is_floating_point():
        return piece
    written = piece.to(dtype)
    if not is_finite(written) and bool((written.isfinite() != piece.isfinite()).any()):
        raise UsageError(f"values of {name}, which is kept, are beyond what {_named(dtype)} can hold; {_larger(dtype)}")
    return written


def _broken(ingredients: Ingredients, name: str) -> str | None:
    """The first model that has values in a tensor that are not finite."""
    names = ingredients.names or tuple(f"model {number}" for number in range(len(ingredients.everything)))
    models = zip(names, ingredients.everything, strict=True)
    return next((who for who, model in models if not is_finite(mapped(model[name]))), None)


def _not_finite(ingredients: Ingredients, name: str, dtype: torch.dtype) -> str:
    broken = _broken(ingredients, name)
    if broken is not None:
        return f"these cannot be merged: {broken} has values that are not finite, in {name}; leave that model out"
    return f"merged values of {name} are beyond what {_named(dtype)} can hold; {_larger(dtype)}"


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _larger(dtype: torch.dtype) -> str:
    """What helps against values that a type cannot hold."""
    if dtype == torch.float64:
        return "take weights that are not so large"
    if torch.finfo(dtype).max < torch.finfo(torch.float32).max:
        return "store them in a larger type (--dtype float32)"
    return "compute and store them in a larger type (--precision float64 --dtype float64)"
