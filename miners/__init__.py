"""The miners: hub in, rows out. One module a hub; only `miners.http` touches the network."""

from typing import TYPE_CHECKING

from schemas.doors import lazily

if TYPE_CHECKING:
    from miners.crawl import Crawl
    from miners.mining import mine, plan

__all__ = ["Crawl", "mine", "plan"]

__getattr__ = lazily(__name__, {"Crawl": "miners.crawl", **dict.fromkeys(["mine", "plan"], "miners.mining")})
