"""The lake: DuckDB tables and views, transactions, the weight store. Knows no hub and no network architecture."""

from schemas.errors import DataError, HubError, LakeBusy, OutsideError, UsageError, WeightlakeError
from schemas.lake import Lake, open_lake
from schemas.transaction import Transaction
from schemas.weights import WeightStore

__all__ = [
    "DataError",
    "HubError",
    "Lake",
    "LakeBusy",
    "OutsideError",
    "Transaction",
    "UsageError",
    "WeightStore",
    "WeightlakeError",
    "open_lake",
]
