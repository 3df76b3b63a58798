"""The lake: DuckDB tables and views, transactions, the weight store. Knows no hub and no network architecture."""

from schemas.errors import DataError, HubError, LakeBusy, OutsideError, UsageError, WeightlakeError
from schemas.lake import Lake, open_lake
from schemas.transaction import Transaction

__all__ = [
    "DataError",
    "HubError",
    "Lake",
    "LakeBusy",
    "OutsideError",
    "Transaction",
    "UsageError",
    "WeightlakeError",
    "open_lake",
]
