"""A text in the space: its words by their stems, and what they say about sounds and pictures."""

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Any

import snowballstemmer

from local.standin.space import Axis, Vector, text_vector, words_vector
from local.standin.topics import TOPICS
from local.standin.vocabulary import FUNCTION_WORDS, MEDIA, NEGATIONS, PICTURE_AXES, SENSES, SOUND_AXES, Sense

_LANGUAGES = ("english", "spanish", "german", "french")  # of the vocabulary
_STEMMERS = {
    "LATIN": (*_LANGUAGES, "italian", "portuguese"),
    "CYRILLIC": ("russian",),
    "GREEK": ("greek",),
    "ARABIC": ("arabic",),
    "DEVANAGARI": ("hindi",),
    "TAMIL": ("tamil",),
    "ARMENIAN": ("armenian",),
}
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")
_ACCENTED = ("LATIN", "CYRILLIC", "GREEK")

_LONGEST_PHRASE = 4
_LONGEST_WORD = 40  # characters; what is longer is no word that has a stem
_FUNCTION_WORD, _NAMED, _CONTENT = 0.08, 0.6, 1.0
"""What a word counts as a word; one that names a property speaks through its axes first."""
_TOPIC = 0.6
_NEGATED = -0.7
_IMPLIED = 0.25
"""How much a word for a property of sounds says that a sound is meant."""


@dataclass(frozen=True)
class _Match:
    sense: Sense
    sign: float


def embed_text(text: str) -> Vector:
    """The vector of any text in any script, also of an empty one."""
    words = _tokens(text)
    if not words:
        return text_vector({}, words_vector({"": 1.0}))
    matches, named = _matches(words)
    return text_vector(_axes(words, matches, named), words_vector(_features(words, named)))


def spoken_words(text: str) -> Vector:
    """Only the words, not what they name: who says "red" shows nothing red. All zeros without words."""
    return words_vector(_features([word for word in _tokens(text) if word[0].isalnum()], set()))


def _tokens(text: str) -> list[str]:
    """Words and symbols, in lower case, without apostrophes and hyphens; words of unspaced scripts as one run."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("n't", " not").replace("n’t", " not")
    words: list[str] = []
    run = ""
    for character in folded:
        kind = unicodedata.category(character)
        if kind[0] in "LN" or (kind[0] == "M" and run):
            run += character
            continue
        if kind == "Cf":
            continue
        if run:
            words.append(run)
            run = ""
        if kind in ("So", "Sm", "Sc"):
            words.append(character)
    return [*words, run] if run else words


@lru_cache(maxsize=50_000)
def _script(word: str) -> str:
    return unicodedata.name(word[0], "").split(" ")[0].split("-")[0]


_stemming = Lock()  # a stemmer keeps the word it works on


@lru_cache(maxsize=50_000)
def _stem(word: str, language: str) -> str:
    if len(word) > _LONGEST_WORD:
        return word
    with _stemming:
        stem = str(_stemmer(language).stemWord(word))
    return _without_accents(stem)


@cache
def _stemmer(language: str) -> Any:
    return snowballstemmer.stemmer(language)


def _without_accents(word: str) -> str:
    if not word or _script(word) not in _ACCENTED:
        return word
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


@lru_cache(maxsize=1)
def _vocabulary() -> dict[tuple[str, ...], list[Sense]]:
    """The words of an entry, their language in front, or its `_stems` → the senses it has."""
    known: dict[tuple[str, ...], list[Sense]] = {}
    for sense in SENSES:
        for language, words in sense.words.items():
            for phrase in words:
                exact = _tokens(phrase.replace("_", " "))
                for key in ((language, *exact), _stems(exact, language)):
                    if sense not in known.setdefault(key, []):
                        known[key].append(sense)
    return known


def _stems(words: list[str], language: str) -> tuple[str, ...]:
    return ("stems", language, *(_stem(word, language) for word in words))


@lru_cache(maxsize=1)
def _function_words() -> dict[str, set[str]]:
    return {language: set(_tokens(" ".join(words))) for language, words in FUNCTION_WORDS.items()}


@lru_cache(maxsize=50_000)
def _is_function_word(word: str) -> bool:
    return any(word in words for words in _function_words().values())


def _matches(words: list[str]) -> tuple[list[_Match], set[int]]:
    """The senses named, the longest phrase first, and the places of the words that name them."""
    languages = _likely_languages(words)
    matches: list[_Match] = []
    named: set[int] = set()
    at, negated_until = 0, -1
    while at < len(words):
        length, senses = _longest(words, at, languages)
        if senses:
            negated = at < negated_until and not all(sense in MEDIA for sense in senses)
            matches += [_Match(sense, _NEGATED if negated else 1.0) for sense in senses]
            named.update(range(at, at + length))
            negated_until = -1 if negated else negated_until
        elif words[at] in NEGATIONS:
            negated_until = at + 4
        at += length
    return matches, named


def _likely_languages(words: list[str]) -> list[str]:
    """Those with the most function words in the text; all of them where there are none."""
    counts = {language: sum(word in _function_words()[language] for word in words) for language in _LANGUAGES}
    most = max(counts.values())
    return [language for language in _LANGUAGES if counts[language] >= 0.7 * most]


def _longest(words: list[str], at: int, languages: list[str]) -> tuple[int, list[Sense]]:
    """How many words from `at` are one entry, and its senses; of several languages, the first that has it."""
    for length in range(min(_LONGEST_PHRASE, len(words) - at), 0, -1):
        for language in languages:
            if length == 1 and _is_function_word(words[at]):
                break
            entry = words[at : at + length]
            known = _vocabulary()
            if senses := known.get((language, *entry)) or known.get(_stems(entry, language)):
                return length, senses
    return 1, []


def _axes(words: list[str], matches: list[_Match], named: set[int]) -> dict[Axis, float]:
    """What the text says about sounds and pictures, the less the more it speaks of other things."""
    if not matches:
        return {}
    content = sum(not _is_function_word(word) or place in named for place, word in enumerate(words))
    media = {axis for match in matches if match.sense in MEDIA for axis in match.sense.axes}
    about = len(named) / max(1, content)
    strength = about**0.5 if media else about
    axes: defaultdict[Axis, float] = defaultdict(float)
    for (place, sign), count in Counter((SENSES.index(match.sense), match.sign) for match in matches).items():
        for axis, value in _meant(SENSES[place], sign, media).items():
            axes[axis] += strength * (1 + math.log(count)) * value
    return dict(axes)


def _meant(sense: Sense, sign: float, media: set[Axis]) -> dict[Axis, float]:
    """The axes of a sense; where the text names one medium, only those of that medium."""
    allowed = SOUND_AXES if media == {Axis.SOUND} else PICTURE_AXES if media == {Axis.PICTURE} else frozenset(Axis)
    axes = {axis: sign * value for axis, value in sense.axes.items() if axis in allowed}
    if axes:  # "noisy" is first a sound; of a picture it is said as strongly
        stronger = _strongest(sense.axes) / _strongest(axes)
        axes = {axis: stronger * value for axis, value in axes.items()}
    for medium, its_axes in ((Axis.SOUND, SOUND_AXES), (Axis.PICTURE, PICTURE_AXES)):
        own = max((abs(value) for axis, value in axes.items() if axis in its_axes), default=0.0)
        if own and medium not in axes:
            axes[medium] = _IMPLIED * own
    return axes


def _strongest(axes: dict[Axis, float]) -> float:
    return max(abs(value) for value in axes.values())


def _features(words: list[str], named: set[int]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for place, word in enumerate(words):
        weights[word] = _FUNCTION_WORD if _is_function_word(word) else _NAMED if place in named else _CONTENT
    counts = Counter(words)
    features: defaultdict[str, float] = defaultdict(float)
    topics: Counter[str] = Counter()
    for word, weight in weights.items():
        own = _word_features(word)
        size = weight * (1 + math.log(counts[word])) / math.sqrt(sum(value * value for _, value in own))
        for feature, value in own:
            features[feature] += size * value
        if weight > _FUNCTION_WORD:
            topics.update(dict.fromkeys(_topics_of(word), counts[word]))
    for topic, count in topics.items():
        features[f"topic {topic}"] = _TOPIC * math.sqrt(count)
    return dict(features)


@lru_cache(maxsize=50_000)
def _word_features(word: str) -> tuple[tuple[str, float], ...]:
    """A word by its stems in the languages of its script (each once), one of an unspaced script by its pairs."""
    script = _script(word)
    if script in _UNSPACED:
        return tuple(_pairs(word))
    stems = {_stem(word, language) for language in _STEMMERS.get(script, ())} or {word}
    return tuple((stem, 1.0) for stem in sorted(stems))


def _pairs(run: str) -> Iterator[tuple[str, float]]:
    for character in sorted(set(run)):
        if len(run) == 1 or _script(character) == "CJK":
            yield character, 1.0 if len(run) == 1 else 0.4
    for pair in sorted({run[at : at + 2] for at in range(len(run) - 1)}):
        # Two hiragana are mostly grammar.
        yield pair, 0.3 if all(_script(character) == "HIRAGANA" for character in pair) else 1.0


@lru_cache(maxsize=1)
def _topic_stems() -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for topic, words in TOPICS.items():
        for word in _tokens(" ".join(words)):
            for stem in {_stem(word, language) for language in _LANGUAGES}:
                known.setdefault(stem, set()).add(topic)
    return known


@lru_cache(maxsize=50_000)
def _topics_of(word: str) -> tuple[str, ...]:
    stems = {stem for stem, _ in _word_features(word)}
    return tuple(sorted({topic for stem in stems for topic in _topic_stems().get(stem, ())}))
