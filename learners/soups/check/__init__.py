"""Whether models can be merged, whether they should be, and what would help: before a weight is read."""
