"""Sites on loopback that serve catalogues as GitHub and other hubs do, and misbehave on order like the test hub."""

from tests.sites.civitai import Civitai
from tests.sites.github import GitHub
from tests.sites.kaggle import Kaggle
from tests.sites.modelscope import ModelScope
from tests.sites.modelzoo import ModelZoo

__all__ = ["Civitai", "GitHub", "Kaggle", "ModelScope", "ModelZoo"]
