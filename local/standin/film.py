"""What a film looks and sounds like: some of its frames as pictures, its sound as a sound.

Only the frames that are looked at are decoded, key frames where there are any, so a film of ten minutes takes seconds.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, repeat
from pathlib import Path

from PIL import Image

from local.standin.audio import MOST_LOST_SECONDS, Segment, sound_segments
from local.standin.frames import Key, Look, looked_at, survey
from local.standin.image import measure
from local.standin.measured import Average
from local.standin.sound import Span, UnreadableError, lost
from local.standin.space import Medium, medium_vector, mix

_PADDING_SECONDS = 0.1  # what an encoder may add at the end; no segment of its own
_LOOK_EVERY = 3.0  # seconds
_MOST_LOOKS = 6  # a segment


@dataclass(frozen=True)
class FilmSegment:
    """What is seen and what is heard in the same seconds; `audio` is None for a film without sound."""

    video: Segment
    audio: Segment | None

    @property
    def combined(self) -> Segment:
        """Both in one vector; of a film without sound, what is seen. It is damaged if either is."""
        seen, heard = self.video, self.audio
        if heard is None or seen.vector is None:
            return seen
        return heard if heard.vector is None else Segment(seen.start, seen.end, mix(seen.vector, heard.vector))


class Film:
    """Raises `UnreadableError` for what has no moving pictures."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._survey = survey(path)

    @property
    def length(self) -> float:
        """Seconds; of a film that was cut off, those that its header promises."""
        return self._survey.length

    def count(self, segment_seconds: float | None) -> int:
        if segment_seconds is None:
            return 1
        return max(1, math.ceil((self.length - _PADDING_SECONDS) / segment_seconds))

    def segments(self, segment_seconds: float | None) -> Iterator[FilmSegment]:
        """Consecutive segments of that length (the last may be shorter), or the whole film as one.

        What is damaged is so for its own segments only. Memory does not grow with the length.
        """
        spans = self._spans(segment_seconds)
        survey = self._survey
        for span, seen, heard in zip(spans, self._seen(spans), self._heard(spans, segment_seconds), strict=False):
            if (seconds := lost(survey.holes, *span)) > MOST_LOST_SECONDS:
                missing = Segment(*span, None, f"{seconds:.1f} seconds of the film are missing or damaged")
                yield FilmSegment(missing, heard and missing)
            elif (seconds := lost(survey.blanks, *span)) > MOST_LOST_SECONDS:
                yield FilmSegment(Segment(*span, None, f"{seconds:.1f} seconds of pictures cannot be decoded"), heard)
            else:
                yield FilmSegment(seen, heard)

    def _spans(self, segment_seconds: float | None) -> list[Span]:
        step = segment_seconds or self.length
        count = self.count(segment_seconds)
        return [Span(number * step, min((number + 1) * step, self.length)) for number in range(count)]

    def _seen(self, spans: Sequence[Span]) -> Iterator[Segment]:
        looks = [look for number, span in enumerate(spans) for look in _looks(number, span, self._survey.keys)]
        seen = looked_at(self._path, self._survey.zero, looks)
        for number, group in groupby(seen, key=lambda pair: pair[0].segment):
            yield _picture_segment(spans[number], group)

    def _heard(self, spans: Sequence[Span], segment_seconds: float | None) -> Iterator[Segment | None]:
        if not self._survey.has_sound:
            yield from repeat(None)
        zero, count = self._survey.zero, 0
        try:
            for segment in sound_segments(self._path, segment_seconds, Span(zero, zero + spans[-1].end)):
                yield segment
                count += 1
        except UnreadableError as error:
            for span in spans[count:]:
                yield Segment(*span, None, str(error))


def _picture_segment(span: Span, seen: Iterable[tuple[Look, Image.Image | None]]) -> Segment:
    average = Average()
    damaged = False
    for look, picture in seen:
        if picture is None:
            damaged = True
        else:
            average.add(measure(picture), look.weight)
    if damaged:
        return Segment(*span, None, "The pictures cannot be decoded")
    measured = average.result()
    return Segment(*span, medium_vector(Medium.PICTURE, measured.axes, measured.fine))


def _looks(number: int, span: Span, keys: Sequence[Key]) -> Iterator[Look]:
    """Looks at evenly spaced seconds; each is at the latest key frame before it, if that is in the span.

    An encoder puts a key frame where the picture changes. Where less than a third of the span follows a key frame of
    its own, there is one look into what comes before that, for which the frames since the last key must be decoded.
    """
    length = span.end - span.start
    count = max(1, min(_MOST_LOOKS, round(length / _LOOK_EVERY)))
    wanted = [span.start + (step + 0.5) * length / count for step in range(count)]
    latest = [max(0, bisect_right(keys, at, key=lambda key: key.at) - 1) for at in wanted]
    own = Counter(key for key in latest if span.start <= keys[key].at < span.end)
    early = [(key, at) for key, at in zip(latest, wanted, strict=True) if key not in own]
    if len(own) == 0 or 3 * own.total() < count:
        key, at = early[len(early) // 2]
        yield Look(number, keys[key], at, len(early))
    for key, weight in own.items():
        yield Look(number, keys[key], keys[key].at, weight)
