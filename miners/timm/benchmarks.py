"""timm's benchmarks: how many images a second each architecture takes on a device."""

import re

import polars as pl

from miners.catalogue import Described, Files
from miners.package import Lost
from miners.timm.tables import Line, figure, lines, whole

HUB = "timm"
BENCHMARK = re.compile(
    r"benchmark-(?P<phase>infer|train)-(?P<precision>[^-]+)-(?P<layout>nchw|nhwc)-(?P<torch>pt\d+)"
    r"-(?P<cuda>cu\d+|cpu)-(?P<device>[^-]+)(?P<compiled>-dynamo)?\.csv"
)
TEXT, WHOLE, NUMBER = pl.String(), pl.Int64(), pl.Float64()
COLUMNS: dict[str, pl.DataType] = {
    **dict.fromkeys(["hub", "architecture", "phase", "device", "precision", "layout"], TEXT),
    "compiled": pl.Boolean(),
    "software": TEXT,
    **dict.fromkeys(["image_size", "batch_size"], WHOLE),
    **dict.fromkeys(["samples_per_second", "step_milliseconds", "gmacs", "million_activations"], NUMBER),
    "million_parameters": NUMBER,
    "source": TEXT,
}


def add_benchmarks(files: Files, found: Described) -> None:
    """Add a row of throughput for each row of a benchmark, whose table's name says on what and how it was made."""
    rows: list[tuple[object, ...]] = []
    for path, body in sorted(files.items()):
        table = path.rpartition("/")[2]
        if not table.startswith("benchmark-"):
            continue
        named = BENCHMARK.fullmatch(table)
        if named is None:
            found.unread.append(Lost(path, "its name does not say phase, precision, layout, versions and device"))
            continue
        read = lines(path, body, ["model", f"{named['phase']}_samples_per_sec"])
        if isinstance(read, Lost):
            found.unread.append(read)
            continue
        for line in read:
            row = line if isinstance(line, Lost) else _row(line, named, path)
            if isinstance(row, Lost):
                found.unmeasured.append(row)
            else:
                rows.append(row)
    if rows:
        found.throughput = pl.DataFrame(rows, schema=COLUMNS, orient="row")


def _row(line: Line, named: re.Match[str], path: str) -> tuple[object, ...] | Lost:
    phase = named["phase"]
    values = {name: line.values.get(f"{phase}_{name}") for name in ("img_size", "batch_size", "step_time")}
    speed = figure(line.values[f"{phase}_samples_per_sec"])
    if speed is None:
        return Lost(line.place, f"{line.values[f'{phase}_samples_per_sec']!r} is no number of images a second")
    on_cpu = named["cuda"] == "cpu"
    return (
        HUB,
        line.values["model"],
        phase,
        f"cpu-{named['device']}" if on_cpu else named["device"],
        named["precision"],
        named["layout"],
        named["compiled"] is not None,
        named["torch"] if on_cpu else f"{named['torch']} {named['cuda']}",
        whole(values["img_size"]),
        whole(values["batch_size"]),
        speed,
        figure(values["step_time"]),
        figure(line.values.get(f"{phase}_gmacs")),
        figure(line.values.get(f"{phase}_macts")),
        figure(line.values.get("param_count")),
        path,
    )
