"""The structures that pass between Python and C++; their fields are those of network.hpp and training.cpp."""

from ctypes import POINTER, Structure, c_double, c_int64, c_void_p
from enum import IntEnum


class What(IntEnum):
    """Kinds of operations."""

    CONVOLUTION = 0
    POOLING = 1
    DROPOUT = 2
    ACTIVATION = 3


class Activation(IntEnum):
    """Activation functions."""

    RELU = 0
    TANH = 1
    SIGMOID = 2
    SILU = 3
    GELU = 4


class Rule(IntEnum):
    """Optimisers."""

    SGD = 0
    ADAM = 1
    ADAMW = 2


class DescribedMap(Structure):
    """A tensor of one sample, and the map whose memory it looks at."""

    _fields_ = [(name, c_int64) for name in ("channels", "height", "width", "border", "memory_of")]


class DescribedOperation(Structure):
    """An operation: the maps that it reads, writes and keeps beside them, and its own numbers."""

    _fields_ = [
        *((name, c_int64) for name in ("what", "reads", "writes", "beside", "slopes")),
        ("numbers", c_int64 * 5),
        ("rate", c_double),
    ]


class Step(Structure):
    """One step of all members."""

    _fields_ = [
        *((name, c_int64) for name in ("members", "batch", "sample_size", "dropouts", "rule")),
        ("weights", c_void_p),
        ("memory", c_void_p * 2),
        *((name, c_void_p) for name in ("loss", "samples", "rate", "decay", "index", "labels")),
        ("keys", POINTER(c_void_p)),
        ("momentum", c_double),
        ("corrections", c_double * 2),
        *((name, c_void_p) for name in ("score", "cause")),
    ]


class Measurement(Structure):
    """All members on the same samples."""

    _fields_ = [
        *((name, c_int64) for name in ("members", "count", "sample_size")),
        *((name, c_void_p) for name in ("weights", "samples", "labels", "loss", "score")),
    ]
