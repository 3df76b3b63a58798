"""Civitai on loopback: its REST API v1, with the models that its listing loses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.hub import Reply, TestHub
from tests.hub.messages import Request, as_json
from tests.hub.routes import Site

OWNERS_A_PAGE = 200


class Civitai(TestHub):
    """Lists `models`, newest first; `hides` models, by id, from the whole listing, and `skips` one after each page."""

    def __init__(self, models: Sequence[Any], hides: frozenset[int] = frozenset(), skips: bool = False) -> None:
        super().__init__([])
        self.site = Api(**vars(self.site), models=models, hides=hides, skips=skips)


@dataclass(frozen=True)
class Api(Site):
    """What the API answers."""

    models: Sequence[Any]
    hides: frozenset[int]
    skips: bool

    def answer(self, request: Request) -> Reply:
        """Answer as the site does: models by cursor, owners by page."""
        if request.path == "/api/v1/models":
            return self._models(request)
        return self._owners(request) if request.path == "/api/v1/creators" else as_json({"error": "Not found"}, 404)

    def _models(self, request: Request) -> Reply:
        limit, owner = int(request.value("limit") or 100), request.value("username")
        if not 1 <= limit <= 100:
            return as_json({"error": "limit"}, 400)
        found = [model for model in self.models if owner is None or owner == self._owner(model)]
        if owner is None:
            found = [model for model in found if self._value(model, "id") not in self.hides]
        if request.value("nsfw") != "true":
            found = [model for model in found if not self._value(model, "nsfw")]
        begin = int(request.value("cursor") or 0)
        end = begin + limit
        metadata = {} if end >= len(found) else {"nextCursor": str(end + self.skips), "nextPage": "http://elsewhere/"}
        return as_json({"items": found[begin:end], "metadata": metadata})

    def _owners(self, request: Request) -> Reply:
        owners = sorted({self._owner(model) for model in self.models} - {""})
        counts = [
            {"username": owner, "modelCount": sum(self._owner(m) == owner for m in self.models)} for owner in owners
        ]
        page = int(request.value("page") or 1)
        shown = counts[(page - 1) * OWNERS_A_PAGE : page * OWNERS_A_PAGE]
        return as_json({"items": shown, "metadata": {"totalPages": -(-len(counts) // OWNERS_A_PAGE)}})

    @classmethod
    def _owner(cls, model: Any) -> str:
        return str(cls._value(cls._value(model, "creator"), "username") or "")

    @staticmethod
    def _value(record: Any, name: str) -> Any:
        """Look up a value of a record, which may be anything."""
        return record.get(name) if isinstance(record, dict) else None
