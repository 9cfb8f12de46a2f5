"""Text in the encoding that its first bytes declare: editors and programs on Windows put a byte order mark there."""

import codecs
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Final

_MARKS: Final = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_CHARSETS: Final = frozenset(
    {"utf_8", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be", "ascii", "latin_1"}
    | {f"iso8859_{part}" for part in range(1, 17)}
    | {f"cp{page}" for page in (437, 850, 852, 855, 857, 858, 866, 874, 932, 949, 950, *range(1250, 1259))}
    | {"koi8_r", "koi8_u", "mac_roman", "mac_cyrillic", "gb2312", "gbk", "gb18030", "big5", "big5hkscs"}
    | {
        "shift_jis",
        "shift_jisx0213",
        "euc_jp",
        "iso2022_jp",
        "iso2022_jp_2",
        "euc_kr",
        "johab",
        "iso2022_kr",
        "tis_620",
    }
)
"""Character sets that servers declare, by Python's names. Python has codecs beside them that are none ("undefined"), or
that take quadratic time ("punycode", "idna")."""


def known_charset(label: str) -> str | None:
    """Python's name of the character set that a header calls `label`; None for one that is not read here."""
    name = normalize_encoding(label).lower()
    name = aliases.get(name, name)
    return name if name in _CHARSETS else None


def marked_encoding(content: bytes | bytearray) -> str | None:
    """The encoding that a byte order mark at the beginning declares; None where there is none."""
    return next((name for mark, name in _MARKS if content.startswith(mark)), None)


def decoded(content: bytes) -> str:
    """The text of a file, without its byte order mark: in the encoding that the mark declares, else UTF-8.

    Raises:
        UnicodeDecodeError: it is in another encoding.
    """
    return content.decode(marked_encoding(content) or "utf-8")
