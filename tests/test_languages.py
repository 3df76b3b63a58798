"""Languages as tags of BCP 47, in whatever way they are stated."""

import polars as pl
import pytest

from schemas import Lake


def languages(lake: Lake, *stated: str) -> dict[str, tuple[str | None, str | None]]:
    rows = pl.DataFrame({"model_id": ["m"] * len(stated), "tag": stated, "kind": ["language"] * len(stated)})
    with lake.write() as transaction:
        transaction.append("tag", rows)
    found = lake.sql("SELECT stated, language, problem FROM languages WHERE model_id = 'm'")
    assert found.height == len(stated)
    return {row[0]: (row[1], row[2]) for row in found.iter_rows()}


def test_languages_are_normalised(lake: Lake) -> None:
    expected = {
        "no": "no",  # Norwegian, not false
        "en": "en",
        "EN": "en",
        " de ": "de",
        "eng": "en",
        "ger": "de",
        "deu": "de",
        "iw": "he",
        "in": "id",
        "cnr": "cnr",
        "pt-br": "pt-BR",
        "zh_CN": "zh-CN",
        "zh-hant": "zh-Hant",
        "sr-latn-rs": "sr-Latn-RS",
        "es-419": "es-419",
        "rm-vallader": "rm-vallader",
        "zh-yue": "yue",
        "en-x-pirate": "en-x-pirate",
        "tok": "tok",  # Toki Pona, since 2022
        "ajp": "apc",
        "mn-Todr": "mn-Todr",
        "multilingual": "mul",
    }
    assert languages(lake, *expected) == {stated: (tag, None) for stated, tag in expected.items()}


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ("english", "not a language tag"),
        ("c++", "not a language tag"),
        ("", "not a language tag"),
        ("en-", "not a language tag"),
        ("en,de", "not a language tag"),
        ("ru-en", "no such region: EN"),
        ("jp", "no such language: jp"),
        ("xx", "no such language: xx"),
        ("zh-xxx", "no such language: xxx"),
        ("en-xxxx", "no such script: xxxx"),
    ],
)
def test_what_is_no_language_is_named(lake: Lake, stated: str, problem: str) -> None:
    assert languages(lake, stated) == {stated: (None, problem)}


def test_the_codes_are_whole(lake: Lake) -> None:
    counted = dict(lake.sql("SELECT kind, count(DISTINCT code) FROM language_code GROUP BY kind").iter_rows())
    assert counted["language"] > 8_000
    assert counted["script"] > 200
    assert counted["region"] > 290
    malformed = "FROM language_code WHERE NOT regexp_full_match(code, '[a-z]{2,4}|[0-9]{3}')"
    assert lake.sql(malformed).is_empty()
    lost = "FROM language_code WHERE kind = 'renamed' AND preferred NOT IN (SELECT code FROM language_code)"
    assert lake.sql(lost).is_empty()
