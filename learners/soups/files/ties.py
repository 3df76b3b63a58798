"""Finds tensors that are one under two names, as an output layer that is the embedding."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256

from learners.soups.files.stored import Stored

SAMPLE = 4096
PIECE = 1 << 22


def tied_names(models: Sequence[Mapping[str, Stored]]) -> dict[str, str]:
    """Give for each name the first name of the tensors that are tied to it in every model; itself where none is.

    Matrices and larger are tied where their bytes are equal: safetensors has no other way to say it. Vectors are
    not looked at, since many are equal by chance, such as biases that never moved from zero.
    """
    first = {name: name for name in models[0]}
    alike: defaultdict[tuple[str, tuple[int, ...]], list[str]] = defaultdict(list)
    for name, tensor in models[0].items():
        if len(tensor.shape) > 1 and tensor.bytes:
            alike[tensor.dtype, tensor.shape].append(name)
    for names in alike.values():
        for position, name in enumerate(names):
            for earlier in names[:position]:
                if first[earlier] == earlier and all(_equal(model, earlier, name) for model in models):
                    first[name] = earlier
                    break
    return first


def tied(model: Mapping[str, Stored], first: str, second: str) -> bool:
    """Whether two tensors of one model have the same bytes."""
    return _equal(model, first, second)


def _equal(model: Mapping[str, Stored], first: str, second: str) -> bool:
    """Compare by their ends, and whole only where those are equal."""
    one, other = model.get(first), model.get(second)
    if one is None or other is None or (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    if (one.path, one.begin) == (other.path, other.begin):
        return True
    return _ends(one) == _ends(other) and _digest(one) == _digest(other)


def _ends(tensor: Stored) -> bytes:
    with tensor.path.open("rb") as file:
        file.seek(tensor.begin)
        begin = file.read(min(SAMPLE, tensor.bytes))
        file.seek(max(tensor.begin, tensor.end - SAMPLE))
        return begin + file.read(min(SAMPLE, tensor.bytes))


def _digest(tensor: Stored) -> bytes:
    digest = sha256()
    with tensor.path.open("rb") as file:
        file.seek(tensor.begin)
        left = tensor.bytes
        while left > 0 and (piece := file.read(min(PIECE, left))):
            digest.update(piece)
            left -= len(piece)
    return digest.digest()
