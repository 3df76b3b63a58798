"""The errors of weightlake, split by who must act.

WeightlakeError
├── UsageError      the caller: a value, a name or a query to mend (exit code 2)
├── DataError       the data: a file or table that is damaged or not what it claims (exit code 1)
└── OutsideError    the world outside: a hub, a disk, another process (exit code 1)
    ├── HubError    a hub is down, refuses, or answers nonsense
    └── LakeBusy    another process holds the lake
"""


class WeightlakeError(Exception):
    """Root of every error that weightlake raises on purpose; its text is one sentence for a person."""


class UsageError(WeightlakeError):
    """What the caller gave cannot work; the message names the value, what was expected and the fix."""


class DataError(WeightlakeError):
    """Stored or mined data is damaged, truncated or of another kind than it claims."""


class OutsideError(WeightlakeError):
    """Something outside the program failed: the disk is full, the network is gone."""


class HubError(OutsideError):
    """A hub did not answer, refused, or answered with something that cannot be read."""


class LakeBusy(OutsideError):
    """Another process kept the lake open for longer than the caller wanted to wait."""
