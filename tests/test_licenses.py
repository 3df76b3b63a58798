import pytest

from miners.licenses import NAMES, SPDX, spdx


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (["mit"], "MIT"),
        (["Apache-2.0"], "Apache-2.0"),
        ([" cc-by-nc-sa-4.0 "], "CC-BY-NC-SA-4.0"),
        (["gpl-3.0"], "GPL-3.0-only"),
        (["pddl"], "PDDL-1.0"),
        (["apache-2.0", "cc-by-4.0"], "Apache-2.0 AND CC-BY-4.0"),
        (["mit", "MIT"], "MIT"),
        (["mit", "llama3"], None),
        (["other"], None),
        (["openrail"], None),
        (["cc"], None),
        ([""], None),
        ([], None),
    ],
)
def test_a_licence_has_its_spdx_expression_or_none(stated: list[str], expected: str | None) -> None:
    assert spdx(stated) == expected


def test_every_identifier_is_found_under_its_own_name() -> None:
    assert all(spdx([identifier]) == identifier for identifier in SPDX.values() if identifier.lower() in SPDX)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("Apache 2.0", "Apache-2.0"),
        ("Apache License 2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ('BSD 3-Clause "New" or "Revised" License', "BSD-3-Clause"),
        ("CC0: Public Domain", "CC0-1.0"),
        ("CC BY-NC 4.0", "CC-BY-NC-4.0"),
        ("CC BY-NC-SA 4.0", "CC-BY-NC-SA-4.0"),
        ("CC BY-SA 3.0", "CC-BY-SA-3.0"),
        ("Attribution 4.0 International (CC BY 4.0)", "CC-BY-4.0"),
        ("Attribution 3.0 Unported (CC BY 3.0)", "CC-BY-3.0"),
        ("Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)", "CC-BY-NC-4.0"),
        ("Attribution-NoDerivatives 4.0 International (CC BY-ND 4.0)", "CC-BY-ND-4.0"),
        ("Attribution-NonCommercial-NoDerivatives 4.0 International (CC BY-NC-ND 4.0)", "CC-BY-NC-ND-4.0"),
        ("Creative Commons Attribution Share Alike 4.0 International", "CC-BY-SA-4.0"),  # SPDX's own name
        ("Creative Commons Attribution Non Commercial No Derivatives 4.0 International", "CC-BY-NC-ND-4.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "CC-BY-SA-4.0"),
        ("Attribution 4.0 International (CC BY-NC 4.0)", None),  # says two things
        ("CC BY 4.5", None),
        ("CC BY", None),
        ("Attribution 3.0 IGO (CC BY 3.0 IGO)", None),
        ("GPL 2", "GPL-2.0-only"),
        ("Llama 2 Community License", None),
        ("Other (specified in description)", None),
    ],
)
def test_a_licence_is_known_by_the_names_that_hubs_give_it(stated: str, expected: str | None) -> None:
    assert spdx([stated]) == expected


def test_what_names_stand_for_is_in_the_list_of_spdx() -> None:
    known = pytest.importorskip("license_expression").get_spdx_licensing()
    creative = [
        f"cc by{kind} {version}"
        for kind in ("", "-nc", "-sa", "-nd", "-nc-sa", "-nc-nd")
        for version in ("1.0", "2.0", "2.5", "3.0", "4.0")
    ]
    for name in [*NAMES, *creative]:
        assert not known.validate(spdx([name])).errors, name
