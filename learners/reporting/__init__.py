"""The report: one HTML page of a lake or of a population that opens from disk without internet."""

from learners.reporting.page import report

__all__ = ["report"]
