"""ModelScope on loopback: its OpenAPI, which gives 50 models a page and 3,000 of a question."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.hub import Reply, TestHub
from tests.hub.messages import Request, as_json
from tests.hub.routes import Site

MOST, DEEPEST = 50, 3000


class ModelScope(TestHub):
    """Lists `models`."""

    def __init__(self, models: Sequence[Any]) -> None:
        super().__init__([])
        self.site = Api(**vars(self.site), models=models)


@dataclass(frozen=True)
class Api(Site):
    """What the API answers."""

    models: Sequence[Any]

    def answer(self, request: Request) -> Reply:
        """Answer as the site does: an envelope around a page, or around what is wrong."""
        if request.path != "/openapi/v1/models":
            return as_json({"success": False, "code": "NotFound", "message": "not found"}, 404)
        page, size = int(request.value("page_number") or 1), int(request.value("page_size") or 10)
        if size > MOST or page * size > DEEPEST:
            return as_json({"success": False, "code": "InvalidParameter", "message": "page_number * page_size"}, 400)
        owner, task = request.value("owner"), request.value("filter.task")
        found = [model for model in self.models if owner is None or str(model.get("id")).startswith(f"{owner}/")]
        found = [model for model in found if task is None or task in (model.get("tasks") or [])]
        shown = found[(page - 1) * size : page * size]
        data = {"models": shown, "total_count": len(found), "page_number": page, "page_size": size}
        return as_json({"success": True, "request_id": "1", "data": data})
