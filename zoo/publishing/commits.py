"""How the files of a publication are divided over commits, so that each is small and none shows what is not there."""

from collections.abc import Collection, Sequence

from zoo.publishing.folder import CARD_FILE

MOST_FILES = 90
"""Files of a commit; hubs advise under 100."""
ORDER = ("weights/", "tensors/")


def portions(files: Collection[str], most: int = MOST_FILES) -> list[list[str]]:
    """Divide files over commits: weights first, then the index, other tables, and the card at the very end.

    >>> portions(["README.md", "models/train-0.parquet", "weights/a.safetensors"], most=2)
    [['weights/a.safetensors', 'models/train-0.parquet'], ['README.md']]
    """
    ordered = sorted(files, key=lambda path: (path == CARD_FILE, _rank(path), path))
    return [ordered[first : first + most] for first in range(0, len(ordered), most)]


def _rank(path: str) -> int:
    return next((rank for rank, prefix in enumerate(ORDER) if path.startswith(prefix)), len(ORDER))


def commit_of(files: Sequence[str]) -> dict[str, int]:
    """The number of the commit, from 1, that each file goes up with."""
    return {path: number for number, portion in enumerate(portions(files), start=1) for path in portion}
