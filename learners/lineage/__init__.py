"""Lineage: which models come from which, as a graph, a table or a drawing."""
