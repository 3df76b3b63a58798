"""modelzoo.co on loopback: its JSON API, which wants to be asked from its own pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.hub import Reply, TestHub
from tests.hub.messages import Request, as_json
from tests.hub.routes import Site


class ModelZoo(TestHub):
    """Lists `models` without what only the API of each tells: `details` by slug."""

    def __init__(self, models: Any, details: Mapping[str, Any]) -> None:
        super().__init__([])
        self.site = Api(**vars(self.site), models=models, details=details)


@dataclass(frozen=True)
class Api(Site):
    """What the API answers."""

    models: Any
    details: Mapping[str, Any]

    def answer(self, request: Request) -> Reply:
        """Answer who comes from the site's own pages."""
        if request.headers.get("referer") != f"{self.url}/":
            return Reply(403, {"Content-Type": "text/html"}, b"<html>Forbidden</html>")
        slug = request.path.removeprefix("/api/models/").removesuffix("/")
        if slug == "0":
            return as_json({"models": self.models})
        return as_json(self.details[slug]) if slug in self.details else as_json({"detail": "Not found."}, 404)
