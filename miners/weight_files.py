"""Which weight files of a repository are read, and which of them make up its model together.

Of a folder's safetensors or pickles the usual names come first (model.safetensors, pytorch_model.bin, adapter_model
...), then the shards that an index names, then whatever else is there. Pickles are read where a folder has no
safetensors, which are mostly the same weights.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

from miners.headers.header import Header
from miners.headers.reading import format_of
from schemas.errors import DataError

USUAL = ("model", "pytorch_model", "diffusion_pytorch_model", "adapter_model", "pytorch_lora_weights")
COMPONENT = "diffusion_pytorch_model"  # only pipelines have it, in a folder for each component
TRAINING = ("optimizer", "scheduler", "scaler", "training_args", "rng_state", "trainer_state", "random_states")
SAME_WEIGHTS = ("safetensors", "pickle")
FORMATS = ("safetensors", "pickle", "onnx", "gguf", "numpy")  # the first that is complete counts
INDEX = re.compile(rf"(?:.*/)?(?:{'|'.join(USUAL)})\.(safetensors|bin)\.index\.json", re.DOTALL)
SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
PART = re.compile(r"(.*)-\d{5}-of-(\d{5})(\.gguf)", re.DOTALL | re.IGNORECASE)
MOST_MARKS = 1_000_000  # brackets, commas and colons of an index; two for each tensor

Shards = Mapping[str, list[str]]  # what an index names, by the path of the index


def matters(path: str) -> bool:
    """Whether a file is one whose header is read, or an index of such files.

    >>> [matters(path) for path in ("unet/x.safetensors", "model.safetensors.index.json", "optimizer.pt", "a.txt")]
    [True, True, False, False]
    """
    return _is_weights(path) or INDEX.fullmatch(path) is not None


def is_part(path: str) -> bool:
    """Whether a file's name says that it belongs with others: the usual name of a model's weights, a shard, an index.

    >>> [is_part(path) for path in ("model.safetensors", "x-00001-of-00002.bin", "epoch_10.pt")]
    [True, True, False]
    """
    return _stem(path) in USUAL or SHARD.search(path) is not None or INDEX.fullmatch(path) is not None


def is_inside(path: str) -> bool:
    """Whether a path stays inside its repository."""
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts and "\\" not in path


def shards(index: bytes, path: str) -> list[str]:
    """Give the files that the index at `path` names, sorted.

    Raises DataError if it is no JSON object with a weight_map, too long, or names no weights of its own repository.
    """
    marks = sum(map(index.count, (b"{", b"[", b",", b":")))
    if marks > MOST_MARKS:
        raise DataError(f"the index has {marks} entries, at most {MOST_MARKS} are read")
    try:
        value = json.loads(index)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the index is not JSON: {error}") from error
    weight_map = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(weight_map, dict):
        raise DataError("the index has no weight_map")
    for name in weight_map.values():
        if not isinstance(name, str) or format_of(name) != _format_of_index(path) or not is_inside(name):
            raise DataError(
                f"the index names {str(name)[:80]!r}, expected a {_format_of_index(path)} of the repository"
            )
    return sorted(_folder(path) + name for name in set(weight_map.values()))


def indices(paths: Collection[str]) -> list[str]:
    """Give the indices that have to be read to know which files to read."""
    found = sorted(path for path in paths if INDEX.fullmatch(path))
    return [path for path in found if not _is_spared(path, paths)]


def _is_spared(index: str, paths: Collection[str]) -> bool:
    folder, format = _folder(index), _format_of_index(index)
    beside = [path for path in paths if _folder(path) == folder]
    whole = any(format_of(path) == format and _is_usual(path) for path in beside)
    return whole or (format == "pickle" and any(format_of(path) == "safetensors" for path in beside))


def to_read(paths: Iterable[str], named: Shards) -> list[str]:
    """Give the files to read of those listed, the usual names first; `named` is what the indices name."""
    folders: dict[str, dict[str, list[str]]] = {}
    for path in sorted(filter(_is_weights, paths)):
        folders.setdefault(_folder(path), {}).setdefault(str(format_of(path)), []).append(path)
    chosen = [path for folder, formats in folders.items() for path in _of_folder(folder, formats, named)]
    return sorted(chosen, key=lambda path: (path.count("/"), not _is_usual(path), path))


def _of_folder(folder: str, formats: dict[str, list[str]], named: Shards) -> list[str]:
    found: list[str] = []
    for format, paths in formats.items():
        if format == "pickle" and "safetensors" in formats:
            continue
        if format not in SAME_WEIGHTS:
            found += paths
            continue
        usual = [path for path in paths if _is_usual(path)]
        found += usual or _named_in(folder, format, named) or paths
    return found


def _named_in(folder: str, format: str, named: Shards) -> list[str]:
    indices = [index for index in named if _folder(index) == folder and _format_of_index(index) == format]
    return sorted({path for index in indices for path in named[index]})


def main_files(headers: Mapping[str, Header], named: Shards, broken: Collection[str] = ()) -> dict[str, list[str]]:
    """Give for each format the files that make up the model together, of those whose headers could be read.

    These are the usual file at the root or its index's shards; else those of a pipeline's components; else the only
    file there is. Of ONNX and GGUF each file, or set of parts, is a model of its own, and the largest counts. A
    format of which that is not known, or for which one of the files is `broken` or absent, has an empty list.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(headers):
        found.setdefault(str(format_of(path)), []).append(path)
    for format, paths in found.items():
        everything = sorted({*paths, *(path for path in broken if format_of(path) == format)})
        if format in SAME_WEIGHTS:
            files = _usual_files(everything, format, named)
        elif format in ("onnx", "gguf"):
            files = _largest(paths, headers)
        else:
            files = everything if len(everything) == 1 else []
        indices_broken = any(INDEX.fullmatch(path) and _format_of_index(path) == format for path in broken)
        found[format] = files if set(files) <= set(paths) and not indices_broken else []
    return found


def _usual_files(paths: list[str], format: str, named: Shards) -> list[str]:
    if of_root := _whole("", paths, format, named):
        return of_root
    folders = sorted({_folder(path) for path in paths if path.count("/") == 1})
    components = [_whole(folder, paths, format, named) for folder in folders]
    files = [path for component in components for path in component]
    if any(PurePosixPath(path).name.startswith(COMPONENT) for path in files):
        return files
    return paths if len(paths) == 1 else []


def _whole(folder: str, paths: list[str], format: str, named: Shards) -> list[str]:
    usual = [path for path in paths if _folder(path) == folder and _is_usual(path)]
    return sorted(usual, key=lambda path: USUAL.index(_stem(path)))[:1] or _named_in(folder, format, named)


def _largest(paths: list[str], headers: Mapping[str, Header]) -> list[str]:
    sets: dict[tuple[str, ...], list[str]] = {}
    for path in paths:
        part = PART.fullmatch(path)
        sets.setdefault((part[1], part[3], part[2]) if part else (path,), []).append(path)
    whole = [files for key, files in sets.items() if len(key) == 1 or int(key[2]) == len(files)]
    return max(whole, key=lambda files: sum(map(elements, (headers[path] for path in files))), default=[])


def elements(header: Header) -> int:
    """Number of elements of a file's tensors, each counted once under however many names."""
    return sum(tensor.elements for tensor in header.tensors if tensor.name not in header.tied)


def _is_weights(path: str) -> bool:
    name = PurePosixPath(path).name
    return format_of(path) is not None and not (format_of(path) == "pickle" and name.startswith(TRAINING))


def _is_usual(path: str) -> bool:
    return _stem(path) in USUAL and path.endswith((".safetensors", ".bin"))


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _folder(path: str) -> str:
    """The folder of a path with a slash at its end; empty at the root."""
    return path[: path.rfind("/") + 1]


def _format_of_index(path: str) -> str | None:
    return format_of(path.removesuffix(".index.json"))
