"""Which files of which repositories are worth asking for, as the listing tells it."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

import polars as pl

from miners.weight_files import matters

CARD = "README.md"


class Target(NamedTuple):
    """A repository at a commit; `paths` are those of its files that matter here, None where the hub lists none."""

    model_id: str
    sha: str | None
    paths: frozenset[str] | None

    @property
    def name(self) -> str:
        """The repository's `owner/name`."""
        return self.model_id.partition(":")[2]

    def address(self, path: str) -> str:
        """Path on the hub of one of the repository's files."""
        return f"/{self.name}/resolve/{self.sha or 'main'}/{quote(path)}"


def targets(tables: Mapping[str, pl.DataFrame]) -> list[Target]:
    """Give a target for each row of the frame `model`, with the cards, weights and indices among its `file` rows."""
    if "model" not in tables:
        return []
    paths: dict[str, set[str]] = {}
    if "file" in tables:
        for model_id, name in tables["file"].select("model_id", "path").iter_rows():
            if name == CARD or matters(name):
                paths.setdefault(model_id, set()).add(name)
    rows = tables["model"].select("model_id", "sha", "says_files").iter_rows()
    return [Target(name, sha, frozenset(paths.get(name, ())) if says else None) for name, sha, says in rows]
