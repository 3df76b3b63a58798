"""Connectivity: the loss on lines and curves between models."""
