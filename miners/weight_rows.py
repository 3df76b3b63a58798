"""Headers of a model's weight files -> rows: tensors, sizes, types, fingerprint, metadata."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from miners.batch import Batch
from miners.fields import LARGEST
from miners.headers.header import Header, Tensor
from miners.headers.reading import format_of
from miners.weight_files import FORMATS, elements

SHOWN = 80


@dataclass
class Headers:
    """The headers of a model by their files' paths, and for each format the files that make up the model together."""

    files: dict[str, Header] = field(default_factory=dict)
    main: dict[str, list[str]] = field(default_factory=dict)

    @property
    def format(self) -> str | None:
        """The format that stands for the model: the first in FORMATS that is there as a whole."""
        return next((format for format in FORMATS if self.main.get(format)), None)

    @property
    def parameters(self) -> int | None:
        """Elements of the tensors of that format; None if there is none, or more than 64 bits can count."""
        return counted([self.files[path] for path in self.main[self.format]]) if self.format else None


def add_headers(batch: Batch, model_id: str, headers: Headers) -> None:
    """Add the rows of a model's headers to `tensor`, `weights`, `weights_dtype` and `weights_metadata`."""
    for path, header in headers.files.items():
        batch.add_rows("tensor", [(model_id, path, *tensor) for tensor in header.tensors])
        batch.add_rows("weights_metadata", _metadata(model_id, path, header))
        for problem in header.problems:
            batch.fail(model_id, "tensors", f"{path[:SHOWN]}: {problem}")
    for format, paths in headers.main.items():
        batch.add_rows("weights", [_weights(model_id, format, headers, paths)])
        batch.add_rows("weights_dtype", list(_dtypes(model_id, format, [headers.files[path] for path in paths])))


def counted(headers: Sequence[Header]) -> int | None:
    """Count the elements of all tensors, those with several names once; None if 64 bits cannot."""
    count = sum(map(elements, headers))
    return count if count <= LARGEST else None


def _metadata(model_id: str, path: str, header: Header) -> list[tuple[object, ...]]:
    return [(model_id, path, *fact) for fact in header.facts]


def _weights(model_id: str, format: str, headers: Headers, paths: Sequence[str]) -> tuple[object, ...]:
    whole = {path: headers.files[path] for path in paths}
    read = whole or {path: header for path, header in headers.files.items() if format_of(path) == format}
    tensors = sum(len(header.tensors) - len(header.tied) for header in read.values())
    measured = (counted(list(whole.values())), size(_tensors(whole.values())), fingerprint(whole))
    row = (model_id, format, format == headers.format, len(read), tensors)
    return (*row, *measured) if whole else (*row, None, None, None)


def _tensors(headers: Iterable[Header]) -> Iterator[Tensor]:
    return (tensor for header in headers for tensor in header.tensors if tensor.name not in header.tied)


def size(tensors: Iterable[Tensor]) -> int | None:
    """Sum up the bytes of tensors; None where that of one is not known, or 64 bits cannot count them."""
    total = 0
    for tensor in tensors:
        if tensor.bytes is None:
            return None
        total += tensor.bytes
    return total if total <= LARGEST else None


def fingerprint(files: Mapping[str, Header]) -> str | None:
    """Give the architecture's fingerprint: SHA-256 of the tensors' names and shapes, sorted; None without tensors.

    It is that of the JSON text [["name",[2,3]], ...] without blanks, in which names that are not ASCII are escaped.
    Where the files lie in several folders, the components of a pipeline, the folder is part of the name.

    >>> fingerprint({"model.safetensors": Header([Tensor("w", "F32", [2, 3])])})[:8]
    'e448911f'
    """
    apart = len({path.rpartition("/")[0] for path in files}) > 1
    entries = sorted(
        (path.rpartition("/")[0] + "/" + tensor.name if apart else tensor.name, tensor.shape)
        for path, header in files.items()
        for tensor in _tensors([header])
    )
    return sha256(json.dumps(entries, separators=(",", ":")).encode()).hexdigest() if entries else None


def _dtypes(model_id: str, format: str, headers: Sequence[Header]) -> Iterator[tuple[object, ...]]:
    found: dict[str, list[Tensor]] = defaultdict(list)
    for tensor in _tensors(headers):
        found[tensor.dtype].append(tensor)
    total = sum(map(elements, headers))
    for dtype, tensors in sorted(found.items()):
        count = sum(tensor.elements for tensor in tensors)
        share = count / total if total else None
        yield model_id, format, dtype, len(tensors), count if count <= LARGEST else None, size(tensors), share
