"""Weights that lie in a checkout, beside what its catalogue says of them: their headers -> rows."""

from collections.abc import Mapping
from pathlib import Path

from miners.batch import Batch
from miners.headers.header import Header
from miners.headers.reading import format_of, read_header
from miners.headers.source import on_disk
from miners.package import Package, PackageFile
from miners.source import POINTER_LIMIT
from miners.weight_files import main_files
from miners.weight_rows import Headers, add_headers
from schemas.errors import DataError

SHOWN = 80


def read_weights(packages: Mapping[str, Package], folder: Path) -> tuple[Batch, list[str]]:
    """Give the rows of the headers of the weights in `folder`, and whose they are; packages are by model_id.

    Pointers to weights that are elsewhere are passed over. A file of another size than the catalogue says, and one
    that cannot be read, leaves a failure of the stage `tensors`.
    """
    batch, read = Batch(), []
    root = folder.resolve()
    for model_id, package in packages.items():
        headers, broken = {}, []
        for file in package.files:
            place = root / file.path
            if format_of(file.path) and _lies_there(place, root):
                try:
                    headers[file.path] = _header(file, place)
                except (DataError, OSError) as error:
                    broken.append(file.path)
                    batch.fail(model_id, "tensors", f"{file.path[:SHOWN]}: {error}")
        if headers or broken:
            read.append(model_id)
            _add(batch, model_id, headers, broken)
    return batch, read


def _lies_there(place: Path, root: Path) -> bool:
    try:
        resolved = place.resolve(strict=True)
        is_plain = resolved == place and resolved.is_file() and resolved.is_relative_to(root)
        return is_plain and resolved.stat().st_size > POINTER_LIMIT
    except (OSError, ValueError, RuntimeError):
        return False


def _header(file: PackageFile, place: Path) -> Header:
    size = place.stat().st_size
    if file.size is not None and size != file.size:
        raise DataError(f"it has {size} bytes, and the catalogue says {file.size}")
    return read_header(file.path, on_disk(place, size))


def _add(batch: Batch, model_id: str, found: dict[str, Header], broken: list[str]) -> None:
    headers = Headers(found, main_files(found, {}, broken))
    add_headers(batch, model_id, headers)
    if headers.parameters is not None:
        batch.add_rows("parameters", [(model_id, headers.parameters)])
