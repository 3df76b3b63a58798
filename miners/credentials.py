"""Who asks: the headers that every request to a hub carries, and the token apart from them."""

import importlib.metadata
import re

from huggingface_hub.errors import LocalTokenNotFoundError
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # its lazy exports hide from mypy

from schemas.errors import UsageError


def identification(token: str | bool | None) -> tuple[dict[str, str], str | None]:
    """The headers that every request carries, and the token apart from them, for the hub alone.

    Raises UsageError if a token is asked for and there is none, or if it has characters that no header takes
    (the message does not show it).
    """
    version = importlib.metadata.version("weightlake")
    try:
        headers = build_hf_headers(token=token, library_name="weightlake", library_version=version)
    except LocalTokenNotFoundError as error:
        raise UsageError("token=True, but no token was found: set HF_TOKEN, or run `hf auth login`.") from error
    bearer = headers.pop("authorization", None)
    if bearer is None:
        return headers, None
    found = bearer.removeprefix("Bearer ")
    if not re.fullmatch(r"[!-~]+", found):
        raise UsageError("The token is empty, or has blanks or letters that no token has: check HF_TOKEN.")
    return headers, found
