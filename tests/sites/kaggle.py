"""Kaggle on loopback: its listing of models, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.hub import Reply, TestHub
from tests.hub.messages import Request, as_json
from tests.hub.routes import Site


class Kaggle(TestHub):
    """Lists `models`, and says that there are `more` beside them."""

    def __init__(self, models: Sequence[Any], more: int = 0) -> None:
        super().__init__([])
        self.site = Api(**vars(self.site), models=models, more=more)


@dataclass(frozen=True)
class Api(Site):
    """What the API answers."""

    models: Sequence[Any]
    more: int

    def answer(self, request: Request) -> Reply:
        """Answer as the site does: a page, and the token of the next one."""
        if request.path != "/api/v1/models/list":
            return as_json({"code": 404, "message": "Not found"}, 404)
        owner = request.value("owner")
        found = [model for model in self.models if owner is None or str(model.get("ref")).startswith(f"{owner}/")]
        size = int(request.value("pageSize") or 20)
        begin = int((request.value("pageToken") or "token-0").removeprefix("token-"))
        token = f"token-{begin + size}" if begin + size < len(found) else ""
        page = {"models": found[begin : begin + size], "nextPageToken": token, "totalResults": len(found) + self.more}
        return as_json(page)
