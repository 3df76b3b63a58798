"""Alignment: the order of units in which two networks are closest, found without being told how they are built."""
