"""Soups: one model averaged from many."""
