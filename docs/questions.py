"""Runs every query of docs/questions.md on the real records and cards, and writes the answers below them.

python docs/questions.py            write them
python docs/questions.py --check    fail if they are not what would be written

The sample is mined from a hub on loopback, as if on the days on which it was taken, so that the answers stay the same.
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

import polars as pl

from miners.http import HubClient
from miners.mining import mine
from schemas import Lake, open_lake
from tests.hub import TestHub

PAGE = Path(__file__).parent / "questions.md"
DATA = Path(__file__).parents[2] / "shared" / "data"
BLOCK = re.compile(r"```sql\n(?P<query>[^`]*)\n```\n(?:\n(?:\|.*\n)+|\nNo rows\.\n)?")
SEPARATED = 10_000  # from here on thousands are set apart; years are not
TAKEN = {"models_2022": datetime(2022, 2, 16, tzinfo=UTC), "models_2025": datetime(2025, 4, 23, tzinfo=UTC)}


def queries() -> list[str]:
    """Give the page's queries in their order."""
    return [block["query"] for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


def mined(folder: Path, data: Path) -> Lake:
    """Mine the sample's records and cards into a new lake below `folder`."""
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
    return lake


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
        found = answered(mined(Path(folder), DATA), text)
    if "--check" in sys.argv:
        return int(found != text)
    PAGE.write_text(found, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
