"""How long the catalogues of the real data set take, from archives to committed rows.

The yardstick is reading the same bytes with the usual parsers (PyYAML's in C, json, csv) and storing nothing.
"""

import csv
import io
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import yaml

from miners.mining import mine
from schemas import open_lake

DATA = Path(__file__).parents[2] / "shared" / "data" / "hubs"
ARCHIVES = {
    "onnx": "onnx/onnx_models.tar.gz",
    "pytorch_hub": "pytorch_hub/pytorch_hub.tar.gz",
    "modelhub_ai": "modelhub_ai/modelhub_ai.tar.gz",
    "timm": "timm/timm_results.tar.gz",
}
RUNS = 3


def parse(archive: Path) -> None:
    """Parse whatever the usual parsers read."""
    with tarfile.open(archive) as opened:
        for member in opened:
            body = opened.extractfile(member)
            text = body.read().decode("utf-8", "replace") if body else ""
            ending = Path(member.name).suffix
            if ending == ".yaml":
                yaml.load(text, Loader=yaml.CSafeLoader)
            elif ending == ".json":
                with suppress(ValueError):  # one of the examples there is none
                    json.loads(text)
            elif ending == ".csv":
                list(csv.reader(io.StringIO(text)))


def seconds(work: Callable[[], object]) -> float:
    """Time of the fastest of a few runs."""
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def mined(hub: str, archive: Path) -> int:
    """Mine an archive into a lake of its own; gives the records that were stored."""
    with tempfile.TemporaryDirectory() as folder:
        return mine(open_lake(Path(folder) / "lake"), hub, source=archive).rows_stored


def main() -> None:
    """Print a line for each hub, and one for all with the yardstick."""
    if not DATA.is_dir():
        sys.exit(f"the real data set is not at {DATA}")
    total = 0.0
    print(f"{'hub':<12} {'records':>8} {'seconds':>8}")
    for hub, path in ARCHIVES.items():
        taken = seconds(partial(mined, hub, DATA / path))
        print(f"{hub:<12} {mined(hub, DATA / path):>8,} {taken:>8.2f}")
        total += taken
    yardstick = sum(seconds(partial(parse, DATA / path)) for path in ARCHIVES.values())
    print(f"{'all':<12} {'':>8} {total:>8.2f}   {total / yardstick:.2f} times the usual parsers' {yardstick:.2f}")


if __name__ == "__main__":
    main()
