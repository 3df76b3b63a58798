"""Weights on disk: read through memory maps and written as shards, one tensor at a time."""
