"""Text into the terms that a full-text search compares: the standard analyzer and one per language.

The service names its analyzers and their languages (S3 user guide, "Configuring full-text search") but not their
rules. These are the usual ones, those of Lucene: words by Unicode's word boundaries in lower case; per European
language without elided articles and stop words and by their Snowball stem; Chinese, Japanese and Korean as pairs of
neighbouring characters. One analyzer is for a key's texts and for what is asked of it.
"""

import re
import threading
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

import snowballstemmer

from local.s3vectors.stopwords import STOP_WORDS

_STEMMERS = {
    "en": "english",
    "fr": "french",
    "es": "spanish",
    "pt": "portuguese",
    "it": "italian",
    "de": "german",
    "nl": "dutch",
}
_PAIRED = ("zh", "ja", "ko")
_ELIDED = {
    "fr": re.compile(r"(?:[lmtnsjdc]|qu|jusqu|quoiqu|lorsqu|puisqu)'(?=.)"),
    "it": re.compile(r"(?:[cltmsvd]|un|gl|(?:a|da|ne|su|de)gl|(?:a|da|ne|su|de)ll|coll|pell)'(?=.)"),
}

# Han and kana stand alone, as in Unicode's word boundaries; katakana and hangul make words.
_SINGLE = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SINGLE += "\U00020000-\U0003ffff"
_CJK = _SINGLE + "\u1100-\u11ff\u30a1-\u30ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb"
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
_LETTER = rf"(?:[^\W{_SINGLE}]|[{_MARKS}])"
_JOINT = r"(?:(?<=[^\W\d_])[.'](?=[^\W\d_])|(?<=\d)[.,'](?=\d))"
_WORD = re.compile(rf"[{_SINGLE}]|{_LETTER}+(?:{_JOINT}{_LETTER}+)*")
_CJK_RUN = re.compile(rf"(?P<cjk>[{_CJK}]+)|[^{_CJK}]+")
_stemming = threading.Lock()


def analyze(text: str, language: str | None) -> list[str]:
    """The terms of a text in order, repeated as they are. `language` is a code of the service's, None for standard.

    A term holds no white space, and of ASCII only letters in lower case, digits and `_ . , '`.
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    if language in _PAIRED:
        return list(_pairs(text))
    words: list[str] = _WORD.findall(text)
    if language is None:
        return words
    return [stem for stem in (_stem(language, each) for each in words) if stem]


def _pairs(text: str) -> Iterator[str]:
    """Neighbouring characters of these scripts two by two, a lone one as it is; words of others as they are."""
    for run in _CJK_RUN.finditer(text):
        characters = run["cjk"]
        if characters is None:
            yield from _WORD.findall(run[0])
        else:
            yield from (characters[n : n + 2] for n in range(max(1, len(characters) - 1)))


@lru_cache(maxsize=200_000)
def _stem(language: str, word: str) -> str:
    """The stem of a word, empty for a stop word."""
    if elided := _ELIDED.get(language):
        word = word[found.end() :] if (found := elided.match(word)) else word
    if word in STOP_WORDS[language]:
        return ""
    with _stemming:  # a stemmer keeps the word it works on
        stem: str = _stemmer(language).stemWord(word)
    return stem


@cache
def _stemmer(language: str) -> Any:
    return snowballstemmer.stemmer(_STEMMERS[language])
