"""The miners: hub in, rows out. One module a hub; only `miners.http` touches the network."""

from typing import TYPE_CHECKING

from schemas.doors import lazily

if TYPE_CHECKING:
    from miners.crawl import Crawl
    from miners.mining import mine

__all__ = ["Crawl", "mine"]

__getattr__ = lazily(__name__, {"Crawl": "miners.crawl", "mine": "miners.mining"})
