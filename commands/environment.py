"""What a lake is worked on with: versions, devices, and where the packages were imported from."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from schemas import Lake

ROOMS = ("schemas", "miners", "zoo", "learners")
LIBRARIES = ("duckdb", "polars", "torch", "safetensors", "huggingface_hub", "datasets", "networkx", "ray")
COMPILERS = ("c++", "g++", "clang++")
KNOWN = {"name": pl.String, "value": pl.String}


def environment() -> pl.DataFrame:
    """Give a row for each version, device and folder that decides what a command does."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    rows = [
        ("weightlake", version("weightlake")),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, _version(name)) for name in LIBRARIES),
        ("cores", str(cores)),
        ("GPUs", ", ".join(gpus) or "none"),
        ("C++ compiler", compiler or "none: the backend lanes is absent"),
        *((f"{name} imported from", str(folder)) for name, folder in _folders().items()),
    ]
    return pl.DataFrame(rows, schema=KNOWN, orient="row")


def lake_facts(lake: Lake) -> pl.DataFrame:
    """Give a row for the lake's version and each of its sizes in bytes."""
    models = lake.sql("SELECT count(*) AS n FROM model").item()
    rows = [
        ("lake", str(lake.path.resolve())),
        ("lake's version", str(lake.sql("SELECT max(number) AS number FROM migration").item())),
        ("models", f"{models:,}"),
        ("database", _size(lake.database.stat().st_size)),
        ("weights", _size(_bytes_below(lake.weights.folder))),
        ("raw answers", _size(_bytes_below(lake.raw))),
        ("free on its disk", _size(shutil.disk_usage(lake.path).free)),
    ]
    return pl.DataFrame(rows, schema=KNOWN, orient="row")


def shadowed() -> list[tuple[str, str, str]]:
    """Find rooms that were imported from another place than this command: their names are common ones."""
    here = Path(__file__).resolve().parents[1]
    return [
        ("imports", f"another package called {name} hides weightlake's; use an environment of its own", str(folder))
        for name, folder in _folders().items()
        if folder != here / name
    ]


def _folders() -> dict[str, Path]:
    specs = {name: find_spec(name) for name in ROOMS}
    return {name: Path(spec.origin).resolve().parent for name, spec in specs.items() if spec and spec.origin}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _bytes_below(folder: Path) -> int:
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path.stat().st_size


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
