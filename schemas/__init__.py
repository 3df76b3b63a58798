"""The lake: DuckDB tables and views, transactions, the weight store. Knows no hub and no network architecture."""

from typing import TYPE_CHECKING

from schemas.doors import lazily

if TYPE_CHECKING:
    from schemas.doctor import examine
    from schemas.errors import DataError, HubError, LakeBusy, OutsideError, UsageError, WeightlakeError
    from schemas.lake import Lake, open_lake
    from schemas.mending import repair
    from schemas.reading import Reading
    from schemas.transaction import Transaction
    from schemas.weights import WeightStore

__all__ = [
    "DataError",
    "HubError",
    "Lake",
    "LakeBusy",
    "OutsideError",
    "Reading",
    "Transaction",
    "UsageError",
    "WeightStore",
    "WeightlakeError",
    "examine",
    "open_lake",
    "repair",
]

__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(
            ["DataError", "HubError", "LakeBusy", "OutsideError", "UsageError", "WeightlakeError"], "schemas.errors"
        ),
        **dict.fromkeys(["Lake", "open_lake"], "schemas.lake"),
        "examine": "schemas.doctor",
        "Reading": "schemas.reading",
        "repair": "schemas.mending",
        "Transaction": "schemas.transaction",
        "WeightStore": "schemas.weights",
    },
)
