"""A published population and what tests read of it."""

from pathlib import Path

import polars as pl


def rows_of(folder: Path, config: str) -> pl.DataFrame:
    """All rows of a configuration, whichever split they are in."""
    return pl.read_parquet(folder / config / "*.parquet")


def everything_in(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def code_of(card: str) -> list[str]:
    """The Python of a card, block by block."""
    return [block.partition("```")[0] for block in card.split("```python\n")[1:]]
