"""Hub's licence identifiers -> SPDX (https://spdx.org/licenses)."""

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


def spdx(licenses: Sequence[str]) -> str | None:
    """Give the SPDX expression of the licences that a model states, or None if one of them has no identifier.

    Several licences are joined by AND: a list does not say that one may choose, so all of them are taken to hold.

    >>> spdx(["mit"])
    'MIT'
    >>> spdx(["apache-2.0", "cc-by-4.0"])
    'Apache-2.0 AND CC-BY-4.0'
    >>> spdx(["openrail"])
    """
    found = [SPDX.get(license.strip().lower()) for license in licenses]
    if not found or None in found:
        return None
    return " AND ".join(dict.fromkeys(identifier for identifier in found if identifier))
