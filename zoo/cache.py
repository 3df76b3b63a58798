"""Where things lie that can be made again."""

import os
from pathlib import Path


def cache_home() -> Path:
    """The cache folder: WEIGHTLAKE_CACHE, or ~/.cache/weightlake."""
    return Path(os.environ.get("WEIGHTLAKE_CACHE") or Path.home() / ".cache" / "weightlake")
