"""The folder of a published dataset: what may be written to, and what an earlier publication has left in it."""

from collections.abc import Collection
from pathlib import Path

import yaml

from schemas import OutsideError, UsageError

CARD_FILE = "README.md"
MARK = "weightlake"
"""The tag by which a card says who wrote it."""
OF_OURS = {".parquet", ".safetensors"}


def check_folder(folder: Path) -> None:
    """Raise UsageError unless a folder is new, empty, or of an earlier publication."""
    if folder.is_file():
        raise UsageError(f"{folder} is a file; name a folder to publish to")
    if (folder / "lake.duckdb").exists():
        raise UsageError(f"{folder} is a lake; name another folder to publish to")
    if folder.is_dir() and any(folder.iterdir()) and not (_unfinished(folder) or is_published(folder)):
        raise UsageError(f"{folder} has other things in it; name a new folder, or one that was published to before")


def is_published(folder: Path) -> bool:
    """Whether a folder's card says that weightlake has published it."""
    tags = front_matter(folder).get("tags")
    return isinstance(tags, list) and MARK in tags


def front_matter(folder: Path) -> dict[str, object]:
    """The front matter of a folder's card; empty where there is none that can be read."""
    try:
        text = (folder / CARD_FILE).read_text(encoding="utf-8", errors="replace")
        found = yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else None
    except (OSError, IndexError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _unfinished(folder: Path) -> bool:
    """Whether nothing but an unfinished publication lies there: it has no card yet, and no file of others."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return all((path.parent != folder and path.suffix in OF_OURS) or path.name.startswith(".") for path in files)


def remove_others(folder: Path, kept: Collection[str]) -> None:
    """Take away tables and shards that a publication has no more; what others have put there stays.

    Raises:
        OutsideError: One cannot be deleted.
    """
    try:
        for path in sorted(folder.glob("*/*")):
            if path.suffix in OF_OURS and path.relative_to(folder).as_posix() not in kept:
                path.unlink()
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()
    except OSError as error:
        raise OutsideError(f"cannot delete {path}: {error.strerror or error}") from error
