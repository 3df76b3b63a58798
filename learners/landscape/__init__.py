"""Landscape: how the loss looks around trained models and between them, and the phases that follow."""
