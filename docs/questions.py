"""Runs every query of docs/questions.md on the real records, cards and catalogues, and writes the answers below them.

python docs/questions.py            write them, and the picture
python docs/questions.py --check    fail if they are not what would be written

The Hub's sample is mined from a hub on loopback, as if on the days on which it was taken, so that the answers stay the
same; the other hubs from archives of their repositories.
"""

import gzip
import json
import re
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import altair
import polars as pl
import vl_convert

from learners import identify
from miners.http import HubClient
from miners.mining import mine
from schemas import Lake, open_lake
from tests.hub import TestHub

PAGE = Path(__file__).parent / "questions.md"
DATA = Path(__file__).parents[2] / "shared" / "data"
BLOCK = re.compile(r"```sql\n(?P<query>[^`]*)\n```\n(?:\n(?:\|.*\n)+|\nNo rows\.\n)?")
SEPARATED = 10_000  # from here on thousands are set apart; years are not
PICTURE = PAGE.with_name("accuracy_by_parameters.svg")
CATALOGUES = {
    "onnx": "onnx/onnx_models.tar.gz",
    "pytorch_hub": "pytorch_hub/pytorch_hub.tar.gz",
    "modelhub_ai": "modelhub_ai/modelhub_ai.tar.gz",
    "timm": "timm/timm_results.tar.gz",
}
POINTS = "SELECT model_id, hub, top1, parameters FROM imagenet_top1 ORDER BY hub = 'timm' DESC, hub, model_id"
FRACTION = re.compile(r"\d+\.\d{2,}")  # of a pixel
COLOURS = {  # Okabe and Ito's, which people with any colour vision can tell apart
    "huggingface": "#CC79A7",
    "onnx": "#D55E00",
    "pytorch_hub": "#0072B2",
    "timm": "#999999",
}
TAKEN = {"models_2022": datetime(2022, 2, 16, tzinfo=UTC), "models_2025": datetime(2025, 4, 23, tzinfo=UTC)}


def queries() -> list[str]:
    """Give the page's queries in their order."""
    return [block["query"] for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


def mined(folder: Path, data: Path) -> Lake:
    """Mine the sample's records, cards and catalogues into a new lake below `folder`."""
    source = data / "hubs" / "huggingface"
    repositories = folder / "repositories"
    for name in ("cards_2022.tar.gz", "cards_2025.tar.gz"):
        with tarfile.open(source / name) as archive:
            archive.extractall(repositories, filter="data")
    lake = open_lake(folder / "lake")
    for name, taken in TAKEN.items():
        lines = gzip.decompress((source / f"{name}.jsonl.gz").read_bytes()).splitlines()
        clock = partial(datetime.astimezone, taken, UTC)
        with (
            TestHub([json.loads(line) for line in lines], repositories) as hub,
            HubClient(hub.url, now=clock) as client,
        ):
            mine(lake, "huggingface", client=client, now=clock, cards=True)
    for name, packed in CATALOGUES.items():
        mine(lake, name, source=data / "hubs" / packed)
    identify(lake)
    return lake


def picture(lake: Lake) -> str:
    """Draw accuracy on ImageNet against parameters for every model of which a hub says the former, as SVG.

    Models of which no hub says the latter are ticks at the left edge.
    """
    rows = lake.sql(POINTS).with_columns(pl.col("parameters") / 1e6)
    shown = {hub: colour for hub, colour in COLOURS.items() if hub in rows["hub"]}
    colour = altair.Color("hub:N", title=None).scale(domain=list(shown), range=list(shown.values()))
    accuracy = altair.Y("top1:Q", title="top-1 accuracy on ImageNet-1k, %").scale(zero=False)
    points = (
        altair.Chart(rows.drop_nulls("parameters"))
        .mark_circle(size=28, opacity=0.75, aria=False)
        .encode(
            x=altair.X("parameters:Q", title="parameters, millions", axis=altair.Axis(tickCount=5)).scale(
                type="log", nice=False
            ),
            y=accuracy,
            color=colour,
        )
    )
    ticks = (
        altair.Chart(rows.filter(pl.col("parameters").is_null()))
        .mark_tick(size=12, thickness=1.5, aria=False)
        .encode(x=altair.value(8), y=accuracy, color=colour)
    )
    chart = (points + ticks).properties(
        width=640, height=420, background="white", description="Accuracy on ImageNet against parameters, by hub"
    )
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    return FRACTION.sub(lambda number: f"{float(number[0]):.1f}", svg) + "\n"


def answered(lake: Lake, text: str) -> str:
    """Give the page with the answers of `lake`."""
    return BLOCK.sub(lambda block: f"```sql\n{block['query']}\n```\n\n{table(lake.sql(block['query']))}", text)


def table(rows: pl.DataFrame) -> str:
    """Write rows as a Markdown table."""
    if rows.is_empty():
        return "No rows.\n"
    lines = [rows.columns, ["---"] * rows.width, *([cell(value) for value in row] for row in rows.iter_rows())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(value: object) -> str:
    """Write a value so that it stays in its cell."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool) and value >= SEPARATED:
        return f"{value:,}"
    text = "" if value is None else str(value).replace("\n", " ")
    return re.sub(r"([|<>`*_\[\]\\])", r"\\\1", text)


def main() -> int:
    """Write or check the page; 1 if it is out of date."""
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        lake = mined(Path(folder), DATA)
        found, drawn = answered(lake, text), picture(lake)
    if "--check" in sys.argv:
        return int(found != text or drawn != PICTURE.read_text(encoding="utf-8"))
    PAGE.write_text(found, encoding="utf-8")
    PICTURE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
