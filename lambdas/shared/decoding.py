"""Bytes that should be text, to text."""

import codecs

from charset_normalizer import from_bytes

from lambdas.shared.errors import BadInputError, UnsupportedError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 256 * 1024


def decode(content: bytes) -> str:
    """The text, its line ends made `\\n`. BadInputError where it is empty, UnsupportedError where it is no text."""
    text = _decode(content).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise BadInputError("the file holds no text")
    if _looks_binary(text):
        raise UnsupportedError("the content is not text")
    return text


def _decode(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strictly(content, encoding)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return _decode_old(content, error.start)
    wide = _wide(content) if "\0" in text else None
    return _strictly(content, wide) if wide else text


def _wide(content: bytes) -> str | None:
    """UTF-16 without a mark has a zero in nearly every other byte."""
    sample = content[:_SAMPLE_BYTES]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > len(sample) // 8 and even * 8 < odd:
        return "utf-16-le"
    if even > len(sample) // 8 and odd * 8 < even:
        return "utf-16-be"
    return None


def _decode_old(content: bytes, first_bad: int) -> str:
    """Neither ASCII nor UTF-8: UTF-16, or what charset-normalizer says of whole lines around the first odd byte."""
    wide = _wide(content)
    if wide:
        return _strictly(content, wide)
    start = content.rfind(b"\n", 0, max(0, first_bad - _SAMPLE_BYTES // 2)) + 1
    end = content.find(b"\n", start + _SAMPLE_BYTES)
    sample = content[start:] if end < 0 else content[start:end]
    if b"\0" in sample:
        raise UnsupportedError("the content is not text in any known encoding")
    best = from_bytes(sample).best()
    for encoding in [*([best.encoding] if best else []), "cp1252"]:
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
