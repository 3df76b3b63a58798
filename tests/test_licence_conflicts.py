"""Licences along lineage: what a child permits and its ancestors forbid."""

from collections.abc import Mapping

import polars as pl
import pytest

from miners.licenses import SPDX
from schemas import Lake

HUB_LIST = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl
    openmdw-1.0 openmdw-1.1 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown
    other
""".split()  # noqa: SIM905 - https://huggingface.co/docs/hub/repositories-licenses


def family(lake: Lake, licenses: Mapping[str, str | None], *edges: str) -> list[tuple[str, str, int, str]]:
    """Store models and edges like `child<parent`, and give the conflicts."""
    pairs = [edge.split("<") for edge in edges]
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": list(licenses), "license": list(licenses.values())}))
        transaction.append("lineage", pl.DataFrame(pairs, schema=["child_id", "parent_id"], orient="row"))
    return lake.sql("SELECT child_id, parent_id, depth, term FROM licence_conflicts ORDER BY ALL").rows()


@pytest.mark.parametrize(
    ("parent", "child", "terms"),
    [
        ("cc-by-nc-4.0", "mit", {"commercial use"}),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0", set()),
        ("cc-by-nc-4.0", "mit, cc-by-nc-4.0", set()),
        ("cc-by-nc-sa-4.0", "apache-2.0", {"commercial use", "share-alike"}),
        ("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", set()),
        ("cc-by-nc-sa-4.0", "cc-by-nc-sa-3.0", {"share-alike"}),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", {"derivatives"}),
        ("cc-by-nc-nd-4.0", "other", {"derivatives"}),
        ("cc-by-sa-4.0", "gpl-3.0", set()),
        ("gpl-3.0", "cc-by-sa-4.0", {"share-alike"}),
        ("gpl-3.0", "agpl-3.0", set()),
        ("gpl-3.0", "mit", {"share-alike"}),
        ("gpl-3.0", "gpl-3.0, mit", set()),
        ("llama2", "apache-2.0", {"use restrictions"}),
        ("Llama3.1", "llama3.1", set()),
        ("gemma", "mit", {"use restrictions"}),
        ("creativeml-openrail-m", "openrail", set()),
        ("deepfloyd-if-license", "openrail", {"commercial use"}),
        ("mit", "cc-by-nc-4.0", set()),
        ("apache-2.0", "llama2", set()),
        ("cc-by-nc-4.0", "other", set()),
        ("cc-by-nc-4.0", "mit, a-licence-of-ones-own", set()),
        ("llama2", "mit, other", set()),
        ("other", "mit", set()),
        ("gpl-3.0", None, set()),
    ],
)
def test_a_child_and_its_parent(lake: Lake, parent: str, child: str | None, terms: set[str]) -> None:
    assert family(lake, {"child": child, "parent": parent}, "child<parent") == [
        ("child", "parent", 1, term) for term in sorted(terms)
    ]


def test_a_reason_is_a_sentence(lake: Lake) -> None:
    family(lake, {"a": "mit", "b": "cc-by-nc-4.0, gpl-3.0"}, "a<b")
    assert lake.sql("SELECT child_license, parent_license, reason FROM licence_conflicts ORDER BY ALL").rows() == [
        ("mit", "cc-by-nc-4.0", "cc-by-nc-4.0 forbids commercial use, which mit permits"),
        ("mit", "gpl-3.0", "gpl-3.0 wants derivatives under the same licence, which mit is not"),
    ]


def test_conflicts_reach_through_models_that_say_nothing_or_are_not_there(lake: Lake) -> None:
    licenses = {"child": "mit", "silent": None, "root": "cc-by-nc-4.0"}
    edges = ["child<silent", "silent<absent", "absent<root"]
    assert family(lake, licenses, *edges) == [("child", "root", 3, "commercial use")]


def test_the_shortest_way_counts_and_circles_end(lake: Lake) -> None:
    licenses = {"a": "mit", "b": "mit", "c": "llama2"}
    edges = ["a<b", "b<c", "a<c", "c<a", "c<c", "b<b"]
    assert family(lake, licenses, *edges) == [("a", "c", 1, "use restrictions"), ("b", "c", 1, "use restrictions")]


def test_every_licence_of_the_hub_has_its_terms(lake: Lake) -> None:
    terms = lake.sql("SELECT license FROM licence_terms")["license"]
    assert sorted(terms) == sorted({*HUB_LIST, "0bsd"})
    assert terms.is_unique().all()
    known = set(terms)
    assert lake.sql("SELECT unnest([license, derivative]) AS name FROM licence_compatible")["name"].is_in(known).all()


def test_only_share_alike_licences_name_compatible_ones(lake: Lake) -> None:
    query = "FROM licence_compatible JOIN licence_terms USING (license) WHERE NOT share_alike"
    assert lake.sql(query).is_empty()


def test_licences_without_a_version_or_outside_the_list_have_no_identifier() -> None:
    without = {name for name in HUB_LIST if name not in SPDX}
    families = {"bsd", "cc", "gpl", "lgpl", "gfdl", "unknown", "other"}
    outside = {name for name in HUB_LIST if "rail" in name or name.startswith(("llama", "apple", "openmdw"))}
    research = {"deepfloyd-if-license", "fair-noncommercial-research-license", "h-research", "intel-research"}
    assert without == families | outside | research | {"gemma", "grok2-community"}


def test_every_identifier_is_one_of_spdx() -> None:
    licensing = pytest.importorskip("license_expression").get_spdx_licensing()
    for expression in SPDX.values():
        found = licensing.validate(expression)
        assert found.errors == []
        assert found.normalized_expression == expression
        assert not expression.startswith("LicenseRef")
