import pytest

from miners.licenses import SPDX, spdx


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
