"""Measuring: metrics of whatever a SQL query selects, written to the lake with settings, errors and reasons."""
