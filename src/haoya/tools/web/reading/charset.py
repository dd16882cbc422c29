# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bytes of a page to text, as browsers do it (Encoding Standard, HTML Standard 13.2.3)."""

import codecs
import re

_LABELS = {
    "gb2312": "gb18030", "gb_2312-80": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030",
    "cp936": "gb18030", "ms936": "gb18030", "windows-936": "gb18030", "chinese": "gb18030",
    "hz-gb-2312": "hz", "big5": "big5hkscs", "big5-hkscs": "big5hkscs", "x-x-big5": "big5hkscs",
    "iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "ascii": "cp1252",
    "us-ascii": "cp1252", "iso-8859-9": "cp1254", "iso-8859-11": "cp874", "tis-620": "cp874",
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932",
    "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "unicode": "utf-16-le", "utf-16": "utf-16-le",
}  # fmt: skip
"""Names that mean a larger set than Python takes them for."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"),
          (codecs.BOM_UTF16_BE, "utf-16-be"))  # fmt: skip
_META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.I)
_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]{2,40})")
_ODD = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})
_LOOKED_AT = 4096


def decode(body: bytes, label: str = "") -> tuple[str, str]:
    """The text, and the encoding it was in: a byte order mark before what the server said, that
    before what the page says; else UTF-8, GB 18030 or Windows-1252, the first that fits.

    >>> decode("你好".encode("gbk"), "gb2312")
    ('你好', 'gb18030')
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace"), name
    said = _known(label) or _in_page(body)
    if said:
        return body.decode(said, "replace"), said
    for name in ("utf-8", "gb18030"):
        try:
            return body.decode(name), name
        except UnicodeDecodeError as error:
            if name == "utf-8" and error.start >= len(body) - 3:  # cut in the middle of a sign
                return body[: error.start].decode(), name
    return body.decode("cp1252", "replace"), "cp1252"


def _in_page(body: bytes) -> str:
    match = _META.search(body, 0, _LOOKED_AT) or _XML.search(body, 0, _LOOKED_AT)
    name = _known(match[1].decode("ascii")) if match else ""
    return "utf-8" if name.startswith("utf-16") else name  # it could not have been read


def _known(label: str) -> str:
    """Python's name of a text encoding, "" for what is none."""
    label = label.strip().strip("\"'").lower()
    label = _LABELS.get(label, label)
    try:
        found = codecs.lookup(label)
    except (LookupError, ValueError):
        return ""
    # Python also has codecs that turn bytes into bytes, and some that are no encodings of pages.
    if found.name in _ODD or not getattr(found, "_is_text_encoding", False):
        return ""
    return found.name
