"""The text of a licence -> its SPDX identifier, for the licences whose text cannot be mistaken."""

import re
from typing import NamedTuple

LONGEST = 2**16  # characters that are looked at
APACHE = re.compile(r"\bApache License,?\s+Version 2\.0\b", re.IGNORECASE)
MIT = re.compile(r"Permission is hereby granted, free of charge, to any person obtaining a copy\s+of this software")
BSD = re.compile(r"Redistribution and use in source and binary forms, with or without\s+modification, are permitted")
NO_ENDORSEMENT = re.compile(r"Neither the names? of")


class LicenseText(NamedTuple):
    """A licence that was recognised, and the words that it was recognised by."""

    spdx: str
    evidence: str


def recognised(text: str) -> list[LicenseText]:
    """Give the licences that a text holds, of those known here.

    >>> recognised("Licensed under the Apache License, Version 2.0 (the License)")
    [LicenseText(spdx='Apache-2.0', evidence='Apache License, Version 2.0')]
    >>> recognised("Put the license for your model here.")
    []
    """
    text = text[:LONGEST]
    bsd = "BSD-3-Clause" if NO_ENDORSEMENT.search(text) else "BSD-2-Clause"
    patterns = (("Apache-2.0", APACHE), ("MIT", MIT), (bsd, BSD))
    found = [(spdx, match) for spdx, pattern in patterns if (match := pattern.search(text))]
    return [LicenseText(spdx, " ".join(match[0].split())) for spdx, match in found]
