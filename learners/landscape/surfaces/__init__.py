"""Surfaces: the loss along directions from models, which are chosen and scaled in stated ways."""
