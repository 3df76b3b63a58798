"""Tables of the report: what a picture shows, for whoever reads rather than looks."""

import json
from datetime import date, datetime
from html import escape

import polars as pl

MOST_ROWS = 200
LONGEST = 80  # letters of a cell


def table(rows: pl.DataFrame, caption: str) -> str:
    """Rows as an HTML table with a caption, in a box that scrolls sideways; the first 200 of more."""
    kinds = ["number" if kind.is_numeric() else "text" for kind in rows.dtypes]
    head = "".join(
        f'<th scope="col" class="{kind}">{escape(name.removesuffix("_share").replace("_", " "))}</th>'
        for name, kind in zip(rows.columns, kinds, strict=True)
    )
    body = "".join(_row(row, rows.columns, kinds) for row in rows.head(MOST_ROWS).iter_rows())
    left = rows.height - MOST_ROWS
    more = f"<p>The first {MOST_ROWS} of {rows.height:,} rows; the query gives all.</p>" if left > 0 else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption, quote=True)}, table">'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}"
    )


def short(value: int) -> str:
    """A count with three digits and a unit, as 2.57 M; whole below a million."""
    if value < 1_000_000:
        return f"{value:,}"
    for power, unit in ((12, "T"), (9, "G"), (6, "M")):
        if value >= 10**power:
            return f"{value / 10**power:.3g}&nbsp;{unit}"
    return str(value)


def _row(row: tuple[object, ...], names: list[str], kinds: list[str]) -> str:
    cells = (
        f'<td class="{kind}">{cell(value, name)}</td>' for value, name, kind in zip(row, names, kinds, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def cell(value: object, name: str = "") -> str:
    """A value as HTML: counts with commas, shares in percent, other figures with four digits, no text too long."""
    if value is None:
        return '<span title="not known">&ndash;</span>'
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return short(value) if name in LARGE else str(value) if name in YEARLESS else f"{value:,}"
    if isinstance(value, float):
        return f"{value:.1%}" if name.endswith(("share", "accuracy")) else f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


LARGE = ("parameters", "stored_bytes", "flops", "downloads")
"""Columns whose large values have three digits and a unit."""
YEARLESS = ("seed", "stitch", "width", "batch_size", "epoch")
"""Columns of whole numbers that are names rather than counts."""
