"""Stitching: networks joined from parts of trained networks, and how much the joint costs."""
