"""Learners: rows and weights in, findings and new models out."""

from typing import TYPE_CHECKING

from schemas.doors import lazily

if TYPE_CHECKING:
    from learners.reporting import report
    from learners.soups.soup import Soup, greedy_soup, uniform_soup

__all__ = ["Soup", "greedy_soup", "report", "uniform_soup"]

__getattr__ = lazily(
    __name__,
    {
        "report": "learners.reporting",
        **dict.fromkeys(["Soup", "greedy_soup", "uniform_soup"], "learners.soups.soup"),
    },
)
