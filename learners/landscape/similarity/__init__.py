"""Similarity: how alike models are in what they compute, what they say, and where their weights lie."""
