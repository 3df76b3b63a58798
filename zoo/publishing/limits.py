"""How much hubs take: files of a folder and of a repository, and bytes of a file."""

from collections import Counter
from collections.abc import Sequence

from schemas import UsageError

MOST_IN_FOLDER = 10_000
MOST_IN_REPOSITORY = 100_000
SMALLEST_FILE = 10**6
LARGEST_FILE = 5 * 10**9
"""Bytes; the Hub advises files of 1 to 5 GB where there is much."""


def check_limits(files: Sequence[str], advice: str) -> None:
    """Raise UsageError for more files than hubs take; `advice` says how there would be fewer.

    >>> check_limits(["weights/a.safetensors", "README.md"], "")
    """
    if len(files) > MOST_IN_REPOSITORY:
        raise UsageError(f"it makes {len(files):,} files, and hubs take {MOST_IN_REPOSITORY:,} a repository; {advice}")
    folder, most = Counter(path.rpartition("/")[0] for path in files).most_common(1)[0] if files else ("", 0)
    if most > MOST_IN_FOLDER:
        raise UsageError(
            f"it makes {most:,} files in {folder or 'a folder'}, and hubs take {MOST_IN_FOLDER:,} a folder; {advice}"
        )


def check_shard_bytes(shard_bytes: int) -> None:
    """Raise UsageError for shards that are larger than hubs advise, or so small that there are too many."""
    if not SMALLEST_FILE <= shard_bytes <= LARGEST_FILE:
        raise UsageError(
            f"shard_bytes = {shard_bytes:,}: expected {SMALLEST_FILE:,} to {LARGEST_FILE:,}; "
            "hubs advise files of 1 to 5 GB"
        )
