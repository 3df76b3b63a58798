"""Families of metrics that are measured together: a group of models in, what was found for each out."""
