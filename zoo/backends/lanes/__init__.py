"""Members innermost: sixteen of them side by side in a vector register, by a kernel that is built on the machine."""

from zoo.backends.lanes.lanes import LANES, Lanes
from zoo.backends.lanes.library import Absent, compiler, library
from zoo.backends.lanes.lowering import NotOffered, lower

__all__ = ["LANES", "Absent", "Lanes", "NotOffered", "compiler", "library", "lower"]
