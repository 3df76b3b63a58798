"""Model cards a second, from their bytes to the tables' frames, beside huggingface_hub's ModelCard on the same cards.

python benchmarks/cards.py [--times 3]: every real card, one core, processor time, the best of several runs.
"""

import argparse
import logging
import os
import tarfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl
import yaml
from huggingface_hub import ModelCard

from miners.batch import Batch
from miners.cards import Card, read_card
from miners.cards.front_matter import parse
from miners.cards.rows import ReadCard, add_cards
from miners.cards.statements import add_card_statements

DATA = Path(__file__).parents[2] / "shared" / "data" / "hubs" / "huggingface"
TOGETHER = 5_000  # cards that become rows at once


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it warns of every card that says nothing
    named = real_cards()
    bodies = list(named.values())
    size = sum(map(len, bodies))
    print(f"{len(bodies)} cards, {size / 1e6:.1f} MB, {size / len(bodies):.0f} bytes each\n")
    print("| stage | microseconds a card | cards a second |\n|---|---|---|")
    stages: dict[str, Callable[[], object]] = {
        "read: text, front matter, sections, links": lambda: read_all(bodies),
        "**read, and to rows: topics, score, links, footprint**": lambda: everything(named),
        "yardstick: yaml's CSafeLoader, front matter only": lambda: [load(body) for body in bodies],
        "yardstick: huggingface_hub's ModelCard": lambda: [model_card(body) for body in bodies],
    }
    for name, work in stages.items():
        seconds = best(work, times)
        print(f"| {name} | {seconds / len(bodies) * 1e6:.0f} | {len(bodies) / seconds:,.0f} |")


def real_cards() -> dict[str, bytes]:
    """Read the cards' bytes by their names."""
    found = {}
    for name in ("cards_2022.tar.gz", "cards_2025.tar.gz"):
        with tarfile.open(DATA / name) as archive:
            for member in archive:
                opened = archive.extractfile(member) if member.name.endswith("README.md") else None
                if opened:
                    found[f"huggingface:{member.name.removeprefix('./').removesuffix('/README.md')}"] = opened.read()
    return found


def read_all(bodies: Sequence[bytes]) -> None:
    """Read every card, as if none had been read before."""
    parse.cache_clear()
    for body in bodies:
        read_card(body)


def everything(named: dict[str, bytes]) -> None:
    """Do all that is done with cards that have come from a hub."""
    parse.cache_clear()
    items = list(named.items())
    for begin in range(0, len(items), TOGETHER):
        portion = items[begin : begin + TOGETHER]
        to_rows([name for name, _ in portion], [read_card(body) for _, body in portion], [b for _, b in portion])


def to_rows(names: Sequence[str], cards: Sequence[Card], bodies: Sequence[bytes]) -> None:
    """Make the frames."""
    batch, at = Batch(), datetime.now(UTC)
    given = zip(names, cards, bodies, strict=True)
    add_cards(batch, [ReadCard(name, None, card, len(body), at) for name, card, body in given])
    described = [(name, card.metadata) for name, card in zip(names, cards, strict=True) if card.metadata]
    add_card_statements(batch, pl.Series([name for name, _ in described]), [metadata for _, metadata in described])
    batch.tables("huggingface", "crawl", at)


def load(body: bytes) -> object:
    """Do the least that reading a card's metadata needs."""
    text = body.decode("utf-8", "replace")
    if not text.startswith("---"):
        return None
    try:
        return yaml.load(text[3:].partition("\n---")[0], Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError):
        return None


def model_card(body: bytes) -> object:
    """Read it as the Hub's own client does."""
    try:
        return ModelCard(body.decode("utf-8", "replace"), ignore_metadata_errors=True)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError):
        return None


def best(work: Callable[[], object], times: int) -> float:
    """Give the least processor seconds that a call takes."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


if __name__ == "__main__":
    main()
