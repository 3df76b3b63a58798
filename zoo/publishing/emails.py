r"""Finds e-mail addresses in texts, also those that were written so that machines do not see them, and spares code.

`ada@example.org` is an address whatever its ending is, unless that is a file's or an attribute's (`x@y.version`) or a
call follows (`a@b.transpose(0, 1)`). Where blanks stand around the sign, or words in place of it (`ada @ example.org`,
`ada at example dot org`), the last part must be one that such addresses have. No address goes over the end of a line.
Where that leaves doubt, words are lost rather than an address published: `look at example dot com` is taken for one.
"""

import re
from functools import cache

import duckdb

REMOVED = "[e-mail removed]"
GENERIC = "com|org|net|edu|gov|mil|int|info|biz|name|pro|dev|app|tech|cloud|online|site|xyz|email|eu"
COUNTRIES = (
    "ac|ad|ae|af|ag|ai|al|am|ao|ar|at|au|az|ba|bb|bd|be|bf|bg|bh|bi|bj|bn|bo|br|bs|bt|bw|by|bz|ca|cc|cd|ch|ci|cl|cm|cn"
    "|co|cr|cu|cv|cy|cz|de|dj|dk|do|dz|ec|ee|eg|es|et|fi|fj|fm|fr|ga|ge|gg|gh|gl|gm|gr|gt|gy|hk|hn|hr|ht|hu|id|ie|il|im"
    "|in|io|iq|ir|is|it|je|jm|jo|jp|ke|kg|kh|ki|kr|kw|ky|kz|la|lb|li|lk|ls|lt|lu|lv|ly|ma|mc|md|me|mg|mk|ml|mm|mn|mo|mt"
    "|mu|mv|mw|mx|my|mz|na|ne|ng|ni|nl|no|np|nu|nz|om|pa|pe|pg|ph|pk|pl|pr|ps|pt|py|qa|ro|rs|ru|rw|sa|sb|sc|sd|se|sg|sh"
    "|si|sk|sl|sm|sn|so|sr|su|sv|sy|sz|td|tg|th|tj|tk|tl|tm|tn|to|tr|tt|tv|tw|tz|ua|ug|uk|us|uy|uz|va|vc|ve|vn|vu|ws|ye"
    "|za|zm|zw"
)
PROVIDERS = (
    "gmail|googlemail|outlook|hotmail|live|msn|yahoo|ymail|icloud|aol|proton|protonmail|gmx|web|mail|yandex|qq|foxmail"
    "|163|126|sina|naver|daum|kakao|zoho|fastmail|tutanota|riseup|posteo"
)
CALLED = "to|ge|gt|lt|ne|mm|mv"
"""Countries that are methods of tensors, too."""
NO_ENDINGS = (
    "version|latest|function|json|jsonl|yaml|yml|toml|txt|csv|tsv|parquet|whl|safetensors|onnx|gguf|ckpt|pth|npz|npy|pkl"
    "|bin|cpp|hpp|cuh|ipynb|jpg|jpeg|png|gif|svg|pdf|html|css|tsx|jsx|grad|transpose|weight|weights|shape|dtype|values"
    "|tar|gz|rc|alpha|beta|main|master"
)
"""Last parts that no domain has: of versions, files and attributes."""

FOREIGN = (
    r"[^\x00-\x7F\x{A0}-\x{AC}\x{AE}-\x{BF}\x{2000}-\x{200A}\x{2010}-\x{205F}\x{2190}-\x{2BFF}"
    r"\x{3000}-\x{303F}\x{FE6B}\x{FF00}-\x{FF0F}\x{FF1A}-\x{FF20}]"
)
"""A letter beyond ASCII, or a sign that takes no room: all that is no punctuation, which is a far smaller automaton."""
BLANK = r"[ \t\x{A0}]"
FIRST = rf"(?:[A-Za-z0-9_+]|{FOREIGN}|\\u[0-9a-fA-F]{{4}})"
LOCAL = rf"(?:{FIRST}(?:{FIRST}|[.%'\x{{2019}}-])*|\{{[^{{}}\n]{{1,200}}\}})"
LABEL = rf"(?:[A-Za-z0-9-]|{FOREIGN})+"
LAST = rf"(?:[A-Za-z]{{2,}}|xn--[A-Za-z0-9-]+|{FOREIGN}{{2,}})"
AT = r"(?:[@\x{FF20}\x{FE6B}]|\\u0040|&#64;|&#x40;|&commat;|%40)"
DOT = r"(?:[.\x{FF0E}]|&#46;|&period;)"
AT_WORD = rf"(?:{BLANK}*[\[({{<#]{BLANK}*(?:at|AT|At|@){BLANK}*[\])}}>#]{BLANK}*|{BLANK}+AT{BLANK}+)"
DOT_WORD = rf"(?:{BLANK}*[\[({{<#]{BLANK}*(?:dot|DOT|Dot|\.){BLANK}*[\])}}>#]{BLANK}*|{BLANK}+(?:DOT|dot){BLANK}+)"
ANY_DOT = rf"(?:{DOT}|{DOT_WORD})"
WIDE_DOT = rf"(?:{DOT}|{BLANK}{DOT}{BLANK})"
SURE = "|".join([GENERIC, *(each for each in COUNTRIES.split("|") if each not in CALLED.split("|"))])
ENDING = rf"(?:{GENERIC}|{COUNTRIES}|COM|ORG|NET|EDU)"
NO_CALL = r"(_*(?:$|[^A-Za-z0-9_(]))"
NO_CODE = r"(_*(?:$|[^A-Za-z0-9_(\[]))"
NO_MORE = r"(_*(?:$|[^A-Za-z0-9_]))"
FORMS = (
    rf"{AT}(?:{LABEL}{DOT})+(?:{LAST}{NO_CALL}|(?:{SURE})\b)",
    rf"{AT_WORD}(?:{LABEL}{ANY_DOT})+{LAST}",
    rf"{AT}{LABEL}(?:{ANY_DOT}{LABEL})*{DOT_WORD}{LAST}",
    rf"{BLANK}?{AT}{BLANK}?(?:{LABEL}{WIDE_DOT})+{ENDING}{NO_CODE}",
    rf"{BLANK}+at{BLANK}+(?:{LABEL}(?:{ANY_DOT}{LABEL})*{DOT_WORD}|(?:{PROVIDERS})(?:{DOT}{LABEL})?{DOT}){ENDING}{NO_MORE}",
    rf"[_-]at[_-](?:[A-Za-z0-9]+[_-]dot[_-])+{ENDING}{NO_MORE}",
)
EMAIL = rf"(\\[nrtbf])?{LOCAL}(?:{'|'.join(FORMS)})"
r"""All of them, with what stands before (`\n`, as JSON writes the end of a line) and after, which stay."""
KEPT = r"\1" + REMOVED + r"\2\3\4\5"
SPARED = rf"@((?:{LABEL}\.)+(?:{NO_ENDINGS})\.?(?:$|[^A-Za-z0-9._-]))"
MARK = "\ufdd0"
"""Stands for a sign that is spared; no text has this character."""


def without_emails(text: str) -> str:
    r"""SQL that gives a text without addresses.

    Args:
        text: SQL of a text.
    """
    spared = f"regexp_replace({text}, {_quoted(SPARED)}, {_quoted(MARK + chr(92) + '1')}, 'g')"
    return f"replace(regexp_replace({spared}, {_quoted(EMAIL)}, {_quoted(KEPT)}, 'g'), {_quoted(MARK)}, '@')"


MAYBE = re.compile(rf"[@\uff20\ufe6b]|\bAT\b|(?i:&#|&commat|%40|u0040|[\[({{<#]\s*at|dot|at\s+(?:{PROVIDERS}))")
"""What every address has somewhere."""


def scrub(text: str) -> str:
    """A text without addresses, by the very same rules.

    >>> scrub("by ada@example.org, ben at example dot org: y = a @ b.transpose(0, 1)")
    'by [e-mail removed], [e-mail removed]: y = a @ b.transpose(0, 1)'
    """
    if not MAYBE.search(text):
        return text
    found = _opened().cursor().execute(f"SELECT {without_emails('$1::VARCHAR')}", [text]).fetchone()
    return str(found[0]) if found else ""


@cache
def _opened() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
