"""Fetches headers of safetensors files by range requests; the weights behind them are never asked for."""

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from miners.addresses import printable
from miners.batch import Batch
from miners.fetching import Fetched, file_bytes
from miners.headers import LARGEST, LENGTH_BYTES, Tensor, header_length, read_header
from miners.http import Answer, HubClient
from miners.targets import INDEX, WEIGHTS, Target
from schemas.errors import DataError, HubError, UsageError

FIRST_BYTES = 2**16  # most headers fit, and one more request is dearer than a few kilobytes too many
WHOLE_MODEL = "model.safetensors"
INDEX_LIMIT = 2**26  # bytes
MOST_FILES = 200  # of one repository; some keep thousands of checkpoints

Tensors = dict[str, list[Tensor]]


def fetch_headers(client: HubClient, target: Target) -> Fetched[Tensors]:
    """Fetch the headers of a repository's safetensors files; found maps their paths to tensors.

    Read are model.safetensors, else the shards that model.safetensors.index.json names, else every file of the kind.
    """
    fetched: Fetched[Tensors] = Fetched(target, found={})
    for path in _paths(client, target, fetched):
        try:
            if not _is_inside(path):
                raise DataError("the path leads out of the repository")
            answers = list(_header(client, target.address(path)))
            fetched.answers += answers
            header = b"".join(answer.body for answer in answers)
            end = LENGTH_BYTES + header_length(header)
            if len(header) < end:
                raise DataError(f"the file ends after {len(header)} bytes, inside its header of {end}")
            fetched.found[path] = read_header(header[LENGTH_BYTES:end], file_bytes(answers[0]))  # type: ignore[index]  # set above
        except (DataError, HubError, UsageError) as error:
            fetched.failures.append(f"{printable(path)}: {error}")
    return fetched


def _paths(client: HubClient, target: Target, fetched: Fetched[Tensors]) -> list[str]:
    if target.paths is None:
        return [WHOLE_MODEL]
    if WHOLE_MODEL in target.paths:
        return [WHOLE_MODEL]
    weights = sorted(path for path in target.paths if path.endswith(WEIGHTS))
    if INDEX in target.paths:
        answer = client.get(target.address(INDEX), limit=INDEX_LIMIT)
        fetched.answers.append(answer)
        try:
            weights = shards(answer.body)
        except DataError as error:
            fetched.failures.append(f"{INDEX}: {error}")
    if len(weights) > MOST_FILES:
        fetched.failures.append(f"{len(weights)} safetensors files, of which the first {MOST_FILES} were read")
    return weights[:MOST_FILES]


def shards(index: bytes) -> list[str]:
    """Give the files that a model.safetensors.index.json names, sorted.

    Raises DataError if it is no JSON object with a weight_map, or names a file outside its repository.
    """
    try:
        value = json.loads(index)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the index is not JSON: {error}") from error
    weight_map = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(weight_map, dict):
        raise DataError("the index has no weight_map")
    for path in weight_map.values():
        if not isinstance(path, str) or not path.endswith(WEIGHTS) or not _is_inside(path):
            raise DataError(f"the index names {str(path)[:80]!r}, expected a safetensors file of the repository")
    return sorted(set(weight_map.values()))


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts and "\\" not in path


def _header(client: HubClient, address: str) -> Iterator[Answer]:
    """Give one answer that has the header, or two that have it together."""
    first = client.get(address, byte_range=(0, FIRST_BYTES), limit=FIRST_BYTES)
    yield first
    end = LENGTH_BYTES + header_length(first.body)
    if end > FIRST_BYTES and len(first.body) == FIRST_BYTES:
        yield client.get(address, byte_range=(FIRST_BYTES, end), limit=end)


def header_batch(portion: Sequence[Fetched[Tensors]]) -> Batch:
    """Give the rows of fetched headers: `tensor`, `parameters` where they are those of one model, and failures."""
    batch = Batch()
    for fetched in portion:
        model_id = fetched.target.model_id
        for failure in fetched.failures:
            batch.fail(model_id, "tensors", failure)
        files = fetched.found or {}
        add_tensors(batch, model_id, files)
        is_one_model = not fetched.failures and (len(files) == 1 or INDEX in (fetched.target.paths or ()))
        if files and is_one_model:
            batch.add_rows("parameters", [(model_id, parameters(files))])
    return batch


def add_tensors(batch: Batch, model_id: str, files: Tensors) -> None:
    """Add the rows of a model's tensors, given by file."""
    batch.add_rows("tensor", [(model_id, path, *tensor) for path, tensors in files.items() for tensor in tensors])


def parameters(files: Tensors) -> int | None:
    """Count the elements of all tensors; None if there would be more than 64 bits can count."""
    count = sum(tensor.elements for tensors in files.values() for tensor in tensors)
    return count if count <= LARGEST else None
