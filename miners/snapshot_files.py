"""Finds the files of snapshots and the time at which each was observed."""

import re
from datetime import UTC, datetime, timedelta
from glob import glob, has_magic
from pathlib import Path

from schemas.errors import UsageError

PARQUET = (".parquet",)
LINES = (".jsonl", ".ndjson", ".json")
PACKED = ("", ".gz", ".zst")
ENDINGS = (*PARQUET, *(ending + packed for ending in LINES for packed in PACKED))
DATE = re.compile(
    r"(?<!\d)(?P<year>20\d\d)(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"(?:[T_ -](?P<hour>\d\d)[:-]?(?P<minute>\d\d)(?:[:-]?(?P<second>\d\d))?Z?)?(?!\d)"
)
TOLERANCE = timedelta(days=1)  # clocks differ


def snapshot_files(place: str) -> list[Path]:
    """Give the files that a path, a folder (with what lies below it) or a pattern (`models/*/models.parquet`) names.

    Raises UsageError if there is none, or if a file that was named is of no known kind.
    """
    path = Path(place)
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.name.endswith(ENDINGS) and not file.name.startswith(".")]
    elif path.is_file():
        found = [path]
    elif has_magic(place):
        found = [Path(file) for file in glob(place, recursive=True)]  # noqa: PTH207 - a pattern may be absolute
    else:
        raise UsageError(f"{place} does not exist; expected a file, a folder, a pattern in quotes, or a URL")
    found = [file for file in found if file.is_file()]
    if not found:
        raise UsageError(f"{place} holds no snapshot; expected files that end in {', '.join(ENDINGS)}")
    for file in found:
        check_ending(file.name)
    return sorted(found)


def check_ending(name: str) -> None:
    """Refuse a file whose name says that it is no snapshot."""
    if not name.endswith(ENDINGS):
        raise UsageError(f"{name} is no snapshot; expected a file that ends in {', '.join(ENDINGS)}")


def dated(place: str) -> datetime | None:
    """Tell a time in UTC from a path or an address: the last date in it, of its name or of a folder above.

    >>> dated("models/2025-03-05/models.parquet")
    datetime.datetime(2025, 3, 5, 0, 0, tzinfo=datetime.timezone.utc)
    >>> dated("hub_20240131T1200Z.jsonl.gz").hour, dated("models.parquet"), dated("2025-13-01.parquet")
    (12, None, None)
    """
    for part in reversed(re.split(r"[/\\]", place)):
        if found := [time for match in DATE.finditer(part) if (time := _moment(match))]:
            return found[-1]
    return None


def _moment(match: re.Match[str]) -> datetime | None:
    numbers = [int(match[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")]
    try:
        return datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]  # six numbers
    except ValueError:
        return None


def stated_time(text: str | datetime) -> datetime:
    """Read a time of the user's, in UTC where it has no time zone; UsageError if it is none."""
    try:
        time = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"observed_at is {text!r}, expected a time like 2025-03-05 or 2025-03-05T12:00Z") from None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def check_time(time: datetime, now: datetime, source: str) -> None:
    """Refuse what was observed in the future: nothing mined before then would count any more."""
    if time > now + TOLERANCE:
        raise UsageError(f"{source} was observed at {time:%Y-%m-%d %H:%M}, which is in the future; see --observed-at")
