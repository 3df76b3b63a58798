"""Writes the card of published tables: what they hold, where it was mined, what was left out, and how to load it."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from zoo.publishing.dataset_card import MARK, configurations, size_category
from zoo.publishing.written import front_matter

CARD = """---
{front_matter}---

# {title}

Tables of a lake in which metadata of machine learning models were mined from public hubs.

## What is in it

{contents}

## Where it is from

{sources}

## What was left out

E-mail addresses are replaced by `[e-mail removed]`. {cards}

## How to load it

```python
from datasets import load_dataset

rows = load_dataset("{place}", "{example}", split="train")  # with streaming=True nothing is stored
```

```python
import duckdb

duckdb.sql("SELECT count(*) FROM '{files}/{example}/*.parquet'")
```

## Columns

{columns}

## Licence

{licence}
"""
WITH_CARDS = (
    "Texts of model cards are their authors' work: each row that quotes one has the licence of its model beside it "
    "(`license` as its hub states it, `license_spdx`), NULL where none is stated."
)
WITHOUT_CARDS = "Texts of model cards, and words quoted from them, are not published: those columns are empty."


@dataclass(frozen=True)
class MinedFacts:
    """What the card of published tables says."""

    title: str
    place: str
    on_hub: bool
    license_id: str | None
    counts: dict[str, int]
    """Rows by table."""
    holds: dict[str, str]
    """What a row of each table is."""
    columns: pl.DataFrame
    """Table, column and meaning."""
    crawls: pl.DataFrame
    with_cards: bool


def mined_card(facts: MinedFacts) -> str:
    """Write the card."""
    fields = {
        "license": facts.license_id,
        "pretty_name": facts.title,
        "tags": [MARK, "model-hubs", "mining-software-repositories"],
        "size_categories": [size_category(max(facts.counts.values()))],
        "configs": configurations(
            {(table, "train"): count for table, count in facts.counts.items()}, next(iter(facts.counts))
        ),
    }
    return CARD.format(
        front_matter=front_matter(fields),
        title=facts.title,
        contents=_table(
            ["configuration", "holds", "rows"],
            [[f"`{each}`", facts.holds.get(each, ""), f"{count:,}"] for each, count in facts.counts.items()],
        ),
        sources=_table(facts.crawls.columns, facts.crawls.rows())
        if facts.crawls.height
        else "Nothing was mined; see the tables.",
        cards=WITH_CARDS if facts.with_cards else WITHOUT_CARDS,
        place=facts.place,
        files=f"hf://datasets/{facts.place}" if facts.on_hub else facts.place,
        example=next(iter(facts.counts)),
        columns=_table(
            ["table", "column", "meaning"],
            [[f"`{table}`", f"`{name}`", meaning or ""] for table, name, meaning in facts.columns.rows()],
        ),
        licence=f"`{facts.license_id}`." if facts.license_id else "Its publisher states none.",
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| "
        + " | ".join(("" if cell is None else str(cell)).replace("|", "\\|").replace("\n", " ") for cell in line)
        + " |"
        for line in lines
    )
