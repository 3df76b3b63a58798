"""Soups: one model averaged from many."""

from learners.soups.average import average
from learners.soups.greedy import Trial, greedy
from learners.soups.soup import Soup, greedy_soup, uniform_soup

__all__ = ["Soup", "Trial", "average", "greedy", "greedy_soup", "uniform_soup"]
