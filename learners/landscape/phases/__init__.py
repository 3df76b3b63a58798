"""Phases: what the measurements of a grid of models say by a stated rule."""
