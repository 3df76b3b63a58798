"""Ways to train a group of members: the same weights up to rounding, each the fastest somewhere."""

from zoo.backends.assignment import Assignment
from zoo.backends.backend import CAUSES, Backend, State
from zoo.backends.choice import AUTO, BACKENDS, Choice, Conditions, check_backend, choose

__all__ = [
    "AUTO",
    "BACKENDS",
    "CAUSES",
    "Assignment",
    "Backend",
    "Choice",
    "Conditions",
    "State",
    "check_backend",
    "choose",
]
