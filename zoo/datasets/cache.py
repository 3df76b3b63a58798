"""Keeps decoded datasets as tensors, so that they are decoded once; what is read back is checked."""

import re
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from schemas.errors import OutsideError
from schemas.files import write_whole
from zoo.cache import cache_home
from zoo.datasets.dataset import Pair

DIGITS = 16
DECODER = 2
"""One more whenever the same files are decoded into other arrays, so that what was kept before is not taken."""
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def cache_folder() -> Path:
    """Where decoded datasets lie: below `zoo.cache.cache_home`."""
    return cache_home() / "datasets"


def cache_file(name: str, version: str) -> Path:
    """Where the tensors of a dataset lie; `version` tells what it was decoded from."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[-60:]
    return cache_folder() / f"{readable}-{sha256(f'{name}/{version}'.encode()).hexdigest()[:DIGITS]}.safetensors"


def version_of(path: Path) -> str:
    """What tells a file or folder from a later state of itself: names, sizes and times of all files."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    states = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return f"{DECODER} {path.resolve()} {sha256(repr(states).encode()).hexdigest()}"


def cached(name: str, version: str, decode: Callable[[], list[Pair]]) -> list[Pair]:
    """Give a dataset's arrays from the cache, or decode them and keep them there.

    A file that is damaged or was changed is decoded again. One that cannot be written is not kept.
    """
    path = cache_file(name, version)
    found = _read(path)
    if found is not None:
        return found
    pairs = decode()
    arrays = dict(zip(ARRAYS, (np.ascontiguousarray(array) for pair in pairs for array in pair), strict=False))
    content = save(arrays, metadata={"name": name})
    with suppress(OutsideError):
        write_whole(path, sha256(content).digest() + content)
    return pairs


def _read(path: Path) -> list[Pair] | None:
    """Read a cache file: the SHA-256 of the rest goes first. None if it is not there or not what was written."""
    try:
        content = path.read_bytes()
        if sha256(content[32:]).digest() != content[:32]:
            return None
        arrays = load(content[32:])
    except (OSError, SafetensorError):
        return None
    return [(arrays[x], arrays[y]) for x, y in zip(ARRAYS[::2], ARRAYS[1::2], strict=True) if x in arrays]
