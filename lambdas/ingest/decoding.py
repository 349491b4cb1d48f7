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
    except UnicodeDecodeError:
        return _strictly(content, _guess(content))
    return _strictly(content, _guess(content)) if "\0" in text else text


def _guess(content: bytes) -> str:
    """UTF-16 without a mark has a zero in every other byte; for the rest ask charset-normalizer."""
    sample = content[:_SAMPLE_BYTES]
    if len(sample) >= 2:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        if odd > len(sample) // 8 and even * 8 < odd:
            return "utf-16-le"
        if even > len(sample) // 8 and odd * 8 < even:
            return "utf-16-be"
    best = from_bytes(sample).best()
    if best is None or b"\0" in sample:
        raise UnsupportedError("the content is not text in any known encoding")
    return best.encoding


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
