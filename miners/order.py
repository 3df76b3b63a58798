"""What somebody asks of the miner of a hub: which models, what of each, and how much of the hub's patience."""

from collections.abc import Sequence
from dataclasses import dataclass

from miners.phases import PHASES
from schemas.errors import UsageError

SORTS = ("downloads", "likes", "createdAt", "lastModified", "trendingScore")
STRATA = ("task", "library", "popularity")


@dataclass(frozen=True)
class Order:
    """The options of `miners.huggingface.mine`; they are explained there."""

    limit: int | None = None
    search: str | None = None
    author: str | None = None
    task: str | None = None
    library: str | None = None
    sort: str | None = None
    full: bool = False
    ids: str | None = None
    sample: int | None = None
    stratify: Sequence[str] = ()
    seed: int = 0
    restart: bool = False
    cards: bool = False
    configs: bool = False
    tensors: bool = False
    commits: bool = False
    discussions: bool = False
    files: bool = False
    max_requests: int | None = None
    max_hours: float | None = None
    polite: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is asked of anybody."""
        for name, value in (("limit", self.limit), ("sample", self.sample), ("max_requests", self.max_requests)):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}, expected at least 1, or None for no limit")
        if self.max_hours is not None and not self.max_hours > 0:
            raise UsageError(f"max_hours is {self.max_hours}, expected more than 0")
        if not 0 < self.polite <= 1:
            raise UsageError(f"polite is {self.polite}, expected a share of the hub's quota: above 0, at most 1")
        if self.sort is not None and self.sort not in SORTS:
            raise UsageError(f"sort by {self.sort!r} is not possible; choose from {', '.join(SORTS)}")
        if unknown := [stratum for stratum in self.stratify if stratum not in STRATA]:
            raise UsageError(f"stratify by {unknown[0]!r} is not possible; choose from {', '.join(STRATA)}")
        ways = [name for name in ("full", "ids", "sample") if getattr(self, name)]
        ways += ["a query (limit, search, author, task, library, sort)"] if self.query or self.limit else []
        if len(ways) > 1:
            raise UsageError(f"{ways[0]} and {ways[1]} exclude each other: choose one way to say which models")
        if self.stratify and self.sample is None:
            raise UsageError("stratify says how a sample is drawn; give sample=N too")

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the hub's listing that choose and order models."""
        asked = {"search": self.search, "author": self.author, "pipeline_tag": self.task, "filter": self.library}
        return {name: value for name, value in {**asked, "sort": self.sort}.items() if value is not None}

    @property
    def mode(self) -> str:
        """How models are chosen: full, incremental, ids, sample or query."""
        if self.full or self.ids or self.sample:
            return "full" if self.full else "ids" if self.ids else "sample"
        return "query" if self.query or self.limit else "incremental"

    @property
    def asks_for_all(self) -> bool:
        """Whether the run is about all models of the hub, and not about a part of them."""
        return self.mode in ("full", "incremental")

    @property
    def identity(self) -> dict[str, object]:
        """What makes two orders the same list of models, so that one run can go on with the other's."""
        asked: dict[str, object] = {"mode": self.mode, **self.query}
        if self.limit is not None:
            asked["limit"] = self.limit
        if self.ids is not None:
            asked["ids"] = self.ids
        if self.sample is not None:
            asked |= {"sample": self.sample, "stratify": list(self.stratify), "seed": self.seed}
        return asked

    @property
    def wants(self) -> list[str]:
        """The phases that are asked for."""
        return [what for what in PHASES if getattr(self, what)]
