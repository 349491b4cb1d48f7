"""Bytes that should be text, to text."""

import codecs
import re

from lambdas.shared.errors import BadInputError, UnsupportedError
from lambdas.shared.guessing import guesses

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 256 * 1024
_ISO_2022 = {b"\x1b$B": "iso2022_jp_ext", b"\x1b$@": "iso2022_jp_ext", b"\x1b$)C": "iso2022_kr"}
# What is declared so often is the larger one (WHATWG Encoding Standard).
_LARGER = {"iso8859-1": "cp1252", "ascii": "utf-8", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}
# Codecs, but Python's own, or nobody's.
_NO_CHARSETS = (
    "unicode-escape",
    "raw-unicode-escape",
    "punycode",
    "idna",
    "undefined",
    "utf-7",
)  # codecs, but Python's
_UNUSED = re.compile("[\x80-\x9f]")  # control characters that no text has
_DECLARATION = re.compile(rb"""(?:charset|encoding) ?= ?["']?([\w-]+)""", re.IGNORECASE)


def decode(content: bytes, charset: str | None = None) -> str:
    """The text, its line ends made `\\n`. BadInputError where it is empty, UnsupportedError where it is no text.

    `charset` is what somebody says of it, and counts where the content is in it.
    """
    text = _decode(content, charset).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise BadInputError("the file holds no text")
    if _looks_binary(text):
        raise UnsupportedError("the content is not text")
    return text


def _decode(content: bytes, charset: str | None) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strictly(content, encoding)
    declared = _in_charset(content, charset) if charset else None
    if declared is not None:
        return declared
    for escape, encoding in _ISO_2022.items():
        if escape in content[:_SAMPLE_BYTES]:
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                break
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return _decode_old(content, error.start)
    wide = _wide(content) if "\0" in text else None
    return _strictly(content, wide) if wide else text


def _in_charset(content: bytes, charset: str) -> str | None:
    """None where it is not in it, or there is no such encoding."""
    try:
        name = codecs.lookup(charset).name
        text = "\x80" if name in _NO_CHARSETS else content.decode(_LARGER.get(name, name))
    except (LookupError, ValueError):
        return None
    return None if _UNUSED.search(text) else text


def _wide(content: bytes) -> str | None:
    """UTF-16 or 32 without a mark: zeros in one half of nearly every character; or of some, and all can be shown."""
    sample = content[: min(_SAMPLE_BYTES, len(content) // 4 * 4 or 2)]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    encoding = "utf-16-le" if odd and even * 8 < odd else "utf-16-be" if even and odd * 8 < even else None
    if encoding and max(even, odd) > len(sample) // 8:
        return encoding
    return next((one for one in ("utf-32-le", "utf-32-be", encoding) if one and _shows(content, sample, one)), None)


def _shows(content: bytes, sample: bytes, encoding: str) -> bool:
    try:
        return len(content) * 8 % int(encoding[4:6]) == 0 and "".join(sample.decode(encoding).split()).isprintable()
    except UnicodeDecodeError:
        return False


def _decode_old(content: bytes, first_bad: int) -> str:
    """Neither ASCII nor UTF-8: UTF-16, what it says itself, or what whole lines around the first odd byte look like."""
    wide = _wide(content)
    if wide:
        return _strictly(content, wide)
    start = content.rfind(b"\n", 0, max(0, first_bad - _SAMPLE_BYTES // 2)) + 1
    sample = content[start : start + _SAMPLE_BYTES]
    if b"\0" in sample:
        raise UnsupportedError("the content is not text in any known encoding")
    said = _DECLARATION.search(content[:1024])
    declared = _in_charset(content, said[1].decode()) if said else None
    if declared is not None:
        return declared
    for encoding in guesses(sample):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnsupportedError("the content is not text in any known encoding")


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInputError(f"the text is broken: byte {error.start:,} is not {encoding}") from error


def _looks_binary(text: str) -> bool:
    """Control characters that no text file has, in more than one of a hundred places."""
    sample = text[:10_000]
    odd = sum(1 for character in sample if ord(character) < 32 and character not in "\n\t\f\x1b")
    return odd * 100 > len(sample)
