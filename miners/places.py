"""Knows where the models of this machine's folders lie."""

from pathlib import Path

from miners.folders import Repository, readable
from schemas.lake import Lake


class Places:
    """Where the models of a hub of folders lie, so that two repositories do not pass for one model."""

    def __init__(self, lake: Lake, hub: str) -> None:
        known = "SELECT model_id, location FROM model WHERE hub = $hub AND location IS NOT NULL AND deleted_at IS NULL"
        self._known = dict(lake.sql(known, hub=hub).iter_rows())
        self._claimed: dict[str, Path] = {}

    def other(self, model_id: str, repository: Repository) -> str | None:
        """Give the place of another repository with this model_id, or None after keeping the id for this one."""
        if model_id in self._claimed:
            return readable(str(self._claimed[model_id]))
        known = Path(self._known.get(model_id, repository.place))
        if not known.is_relative_to(repository.root) and _may_exist(known):
            return str(known)
        self._claimed[model_id] = repository.place
        return None


def _may_exist(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # it lies in a folder that is closed
        return True
