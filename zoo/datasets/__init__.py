"""Datasets: images with classes, texts, or points of an equation, and one fixed split of them in three."""

from zoo.datasets.dataset import Dataset
from zoo.datasets.hub import HUB, fetch_dataset
from zoo.datasets.loading import check_name, facts, kind_of, load_dataset

__all__ = ["HUB", "Dataset", "check_name", "facts", "fetch_dataset", "kind_of", "load_dataset"]
