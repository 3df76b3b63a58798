"""Hubs' licence identifiers and names -> SPDX (https://spdx.org/licenses)."""

import re
from collections.abc import Sequence

# The Hub's list: https://huggingface.co/docs/hub/repositories-licenses. Where it names a family without a version
# (bsd, cc, gpl, lgpl, gfdl), a licence that SPDX does not list (RAIL, Llama, Gemma, Apple) or none, there is no answer.
SPDX = {
    identifier.lower(): identifier
    for identifier in """
        0BSD AFL-3.0 Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear BSL-1.0
        CC0-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC-BY-ND-4.0
        CC-BY-NC-2.0 CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0
        CC-BY-NC-SA-2.0 CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0
        ECL-2.0 EPL-1.0 EPL-2.0 etalab-2.0 EUPL-1.1 EUPL-1.2 ISC LPPL-1.3c MIT MPL-2.0 MS-PL NCSA OFL-1.1 OSL-3.0
        PostgreSQL Unlicense WTFPL Zlib
        AGPL-3.0-only AGPL-3.0-or-later GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later
        LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later
    """.split()  # noqa: SIM905 - a list of names reads best as a text
} | {
    "agpl-3.0": "AGPL-3.0-only",  # SPDX's own reading of the names that it has retired
    "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "c-uda": "C-UDA-1.0",
    "lgpl-lr": "LGPLLR",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
}

# Names in full, as Kaggle, ModelScope and SPDX's own list have them. Kaggle's "GPL 2" says no more than gpl-2.0.
NAMES = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "mit license": "MIT",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 2-clause simplified license": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd 3-clause new or revised license": "BSD-3-Clause",
    "cc0: public domain": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "cc0 1.0 universal": "CC0-1.0",
    "creative commons zero v1.0 universal": "CC0-1.0",
    "gpl 2": "GPL-2.0-only",
    "gpl 3": "GPL-3.0-only",
    "gnu general public license v2.0": "GPL-2.0-only",
    "gnu general public license v3.0": "GPL-3.0-only",
    "gnu lesser general public license 3.0": "LGPL-3.0-only",
    "gnu lesser general public license v2.1": "LGPL-2.1-only",
    "gnu lesser general public license v3.0": "LGPL-3.0-only",
    "gnu affero general public license 3.0": "AGPL-3.0-only",
    "gnu affero general public license v3.0": "AGPL-3.0-only",
    "mozilla public license 2.0": "MPL-2.0",
    "odc attribution license (odc-by)": "ODC-By-1.0",
    "odc public domain dedication and licence (pddl)": "PDDL-1.0",
    "open data commons attribution license v1.0": "ODC-By-1.0",
    "open data commons open database license v1.0": "ODbL-1.0",
    "community data license agreement - permissive - version 1.0": "CDLA-Permissive-1.0",
    "community data license agreement - sharing - version 1.0": "CDLA-Sharing-1.0",
    "the unlicense": "Unlicense",
}
SHORT = r"cc[ -]by(?P<short_nc>-nc)?(?:-(?P<short_other>sa|nd))?[ -](?P<short_version>[1234]\.[05])"
LONG = (
    r"(?:creative commons )?attribution(?P<nc>[ -]non[ -]?commercial)?"
    r"(?:[ -](?P<other>share[ -]?alike|no[ -]?deriv(?:ative)?s))?"
    r" (?P<version>[1234]\.[05])(?: international| unported| generic)?(?: public)?(?: licen[sc]e)?"
)
CREATIVE_COMMONS = re.compile(rf"(?:{LONG}(?: \({SHORT}\))?|{SHORT.replace('short_', 'only_')})")
OTHERS = {"sa": "SA", "sh": "SA", "nd": "ND", "no": "ND"}
VERSIONS = ("1.0", "2.0", "2.5", "3.0", "4.0")


def spdx(licenses: Sequence[str]) -> str | None:
    """Give the SPDX expression of the licences that a model states, or None if one of them has no identifier.

    Several licences are joined by AND: a list does not say that one may choose, so all of them are taken to hold.

    >>> spdx(["mit"])
    'MIT'
    >>> spdx(["apache-2.0", "cc-by-4.0"])
    'Apache-2.0 AND CC-BY-4.0'
    >>> spdx(["Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)"])
    'CC-BY-NC-4.0'
    >>> spdx(["openrail"])
    """
    found = [_identifier(license.strip().lower()) for license in licenses]
    if not found or None in found:
        return None
    return " AND ".join(dict.fromkeys(identifier for identifier in found if identifier))


def _identifier(license_: str) -> str | None:
    name = " ".join(license_.replace(",", "").replace('"', "").split())
    return SPDX.get(license_) or NAMES.get(name) or _creative_commons(name)


def _creative_commons(name: str) -> str | None:
    """Give the identifier of a Creative Commons licence by its name; none where the name contradicts itself."""
    if not (match := CREATIVE_COMMONS.fullmatch(name)):
        return None
    readings = {
        (bool(match[f"{kind}nc"]), OTHERS.get((match[f"{kind}other"] or "")[:2]), version)
        for kind in ("", "short_", "only_")
        if (version := match[f"{kind}version"])
    }
    if len(readings) > 1:
        return None
    non_commercial, other, version = readings.pop()
    parts = ["CC-BY", "NC" if non_commercial else None, other, version]
    return "-".join(filter(None, parts)) if version in VERSIONS else None
