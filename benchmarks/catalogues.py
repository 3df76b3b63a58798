"""How long all local sources of the real data set take: catalogues from archives, and folders of weights, to rows.

The yardstick is reading the catalogues' bytes with the usual parsers (PyYAML's in C, json, csv) and storing nothing.
All sources together should take less than GOAL seconds.
"""

import csv
import io
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import yaml

from learners import identify
from miners.mining import mine
from schemas import open_lake

DATA = Path(__file__).parents[2] / "shared" / "data"
ARCHIVES = {
    "onnx": "hubs/onnx/onnx_models.tar.gz",
    "pytorch_hub": "hubs/pytorch_hub/pytorch_hub.tar.gz",
    "modelhub_ai": "hubs/modelhub_ai/modelhub_ai.tar.gz",
    "timm": "hubs/timm/timm_results.tar.gz",
}
FOLDERS = ("weights/pizza_modadd", "weights/silverman_deformation")
RUNS = 3
GOAL = 20.0  # seconds


def parsed() -> None:
    """Parse whatever the usual parsers read."""
    for path in ARCHIVES.values():
        parse(DATA / path)


def parse(archive: Path) -> None:
    """Parse what they read in one archive."""
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


class Taken(NamedTuple):
    """Seconds on the clock and of the processor, those of the run that was fastest on the clock."""

    clock: float
    processor: float


def taken(work: Callable[[], object]) -> Taken:
    """Time the fastest of a few runs."""
    times = []
    for _ in range(RUNS):
        begun, used = time.perf_counter(), time.process_time()
        work()
        times.append(Taken(time.perf_counter() - begun, time.process_time() - used))
    return min(times)


def mined(sources: Sequence[tuple[str, dict[str, Path]]], identified: bool = False) -> int:
    """Mine sources into a lake of their own; gives the records that were stored."""
    with tempfile.TemporaryDirectory() as folder:
        lake = open_lake(Path(folder) / "lake")
        stored = sum(mine(lake, hub, **options).rows_stored for hub, options in sources)
        if identified:
            identify(lake)
        return stored


def show(name: str, records: int | None, times: Taken) -> None:
    """Print a line."""
    print(f"{name:<28} {'' if records is None else f'{records:,}':>8} {times.clock:>8.2f} {times.processor:>10.2f}")


def main() -> None:
    """Print a line for each source, one for all of them in one lake, and the yardstick, and whether the goal is met."""
    if not DATA.is_dir():
        sys.exit(f"the real data set is not at {DATA}")
    sources = [(hub, {"source": DATA / path}) for hub, path in ARCHIVES.items()]
    sources += [("local", {"folder": DATA / path}) for path in FOLDERS]
    print(f"{'source':<28} {'records':>8} {'seconds':>8} {'processor':>10}")
    for source in sources:
        (place,) = source[1].values()
        show(
            source[0] if source[0] != "local" else f"local {place.name}",
            mined([source]),
            taken(partial(mined, [source])),
        )
    together = taken(partial(mined, sources))
    show("all in one lake", mined(sources), together)
    show("all, and identified", None, taken(partial(mined, sources, identified=True)))
    yardstick = taken(parsed)
    show("the usual parsers", None, yardstick)
    missed = ", which is missed" if together.clock > GOAL else ""
    times = together.clock / yardstick.clock
    print(f"all take {times:.2f} times the usual parsers, and should take {GOAL:.0f} seconds{missed}")


if __name__ == "__main__":
    main()
