"""What is said of a source that gives no model."""

from collections.abc import Sequence

from miners.addresses import printable
from miners.batch import Failure
from miners.crawl import Crawl
from schemas.errors import DataError


def check_stored(crawl: Crawl, origin: str, failures: Sequence[Failure]) -> None:
    """Raise DataError if nothing was stored, with the first of the failures."""
    if crawl.rows_stored:
        return
    if not failures:
        raise DataError(f"{origin} lists no model; nothing was stored")
    subject, _, reason = failures[0]
    raise DataError(
        f"{origin} gives no model, for {len(failures):,} reason{'s' if len(failures) > 1 else ''}, the first: "
        f"{printable(subject)}: {printable(reason)}; "
        f"weightlake sql \"FROM failure WHERE crawl_id = '{crawl.crawl_id}'\" shows them"
    )
