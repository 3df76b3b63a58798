"""Sites on loopback that serve catalogues as GitHub and other hubs do, and misbehave on order like the test hub."""

from tests.sites.github import GitHub
from tests.sites.modelzoo import ModelZoo

__all__ = ["GitHub", "ModelZoo"]
