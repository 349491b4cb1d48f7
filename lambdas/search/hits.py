"""Hits as they are shown: groups with their links, passages, pictures and neighbours."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lambdas.search.answers import Hit, Scores, Segment, SegmentHit
from lambdas.search.links import Links
from lambdas.search.listing import indexed_segment
from lambdas.search.ranking import Group, Match, Span, attribute, spans
from lambdas.search.requests import SearchRequest
from lambdas.shared.assets import vector_key
from lambdas.shared.vectors import Stores

Context = Mapping[str, list[Segment]]  # by the key of the best match of a group


@dataclass(frozen=True)
class Hits:
    """`of` makes them."""

    stores: Stores
    links: Links

    def of(self, groups: Sequence[Group], request: SearchRequest) -> list[Hit]:
        context = self._context(groups, request.context) if request.context else {}
        return [self._hit(group, request, context) for group in groups]

    def _hit(self, group: Group, request: SearchRequest, context: Context) -> Hit:
        best, head = group.best, group.best.head
        meta = best.neighbour.metadata
        is_mixed = request.group_by not in ("asset", "segment")
        segments = [self._segment(span, is_mixed, request) for span in spans(group.matches)]
        segments[0].context = context.get(best.neighbour.key)
        return Hit(
            asset_id=head.asset_id,
            key=head.key,
            uri=meta["_uri"],
            title=meta.get("_title"),
            modality=meta["_modality"],
            group=attribute(best, request.group_by) if is_mixed else None,
            profile=group.profile or None,
            score=group.score,
            scores=_scores(best, group.fused),
            found_by=_found_by([best]),
            attributes=dict(head.attributes),
            url=segments[0].url,
            thumbnail=segments[0].thumbnail,
            peaks=self.links.peaks(head),
            segments=segments,
        )

    def _segment(self, span: Span, is_mixed: bool, request: SearchRequest) -> SegmentHit:
        best, head = span.best, span.best.head
        first, last = (match.neighbour.metadata for match in (span.matches[0], span.matches[-1]))
        place: dict[str, Any] = {"start": first.get("_start"), "end": last.get("_end"), "page": first.get("_page")}
        neighbour = best.neighbour
        return SegmentHit(
            segment_id=neighbour.segment_id,
            segment_ids=[match.neighbour.segment_id for match in span.matches] if len(span.matches) > 1 else None,
            asset_id=head.asset_id if is_mixed else None,
            key=head.key if is_mixed else None,
            **place,
            start_char=first.get("_start_char"),
            end_char=last.get("_end_char"),
            score=best.score,
            scores=_scores(best),
            found_by=None if request.mode == "vector" else _found_by(span.matches),
            text=_text(span),
            url=self.links.to(head, **place),
            thumbnail=self.links.thumbnail(head, neighbour.number, place["page"]),
        )

    def _context(self, groups: Sequence[Group], reach: int) -> Context:
        """The neighbours of each group's best match, by their keys: the index is not searched for them."""
        wanted: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # store → key → whose
        for group in groups:
            match = group.best
            head, name = match.head, match.neighbour.segment_id.partition("/")[0]
            assert head.live is not None
            last, here = head.extent.get(name, 0), match.neighbour.number
            for number in range(max(0, here - reach), min(last, here + reach) + 1):
                key = vector_key(head.asset_id, head.live.generation, name, number)
                if number != here:
                    wanted[head.live.profile][key].add(match.neighbour.key)
        found: dict[str, list[tuple[int, Segment]]] = defaultdict(list)
        for store, keys in wanted.items():
            for key, metadata in self.stores[store].existing(list(keys)).items():
                _, _, name, position = key.split("/")
                for whose in keys[key]:
                    found[whose].append((int(position), indexed_segment(f"{name}/{position}", metadata)))
        return {
            whose: [segment for _, segment in sorted(some, key=lambda one: one[0])] for whose, some in found.items()
        }


def _text(span: Span) -> str | None:
    """The passages one after the other, as they follow in the text."""
    text, end = "", None
    for match in span.matches:
        meta = match.neighbour.metadata
        is_next = end is None or meta.get("_start_char") == end
        text += ("" if is_next else " ") + meta.get("_text", "")
        end = meta.get("_end_char")
    return text or None


def _scores(match: Match, fused: float | None = None) -> Scores:
    neighbour = match.neighbour
    own = neighbour.fused if fused is None else fused
    return Scores(
        similarity=match.similarity,
        text=None if neighbour.text is None else round(neighbour.text, 6),
        fused=None if own is None else round(own, 6),
        recency=match.recency,
        rerank=match.rerank,
    )


def _found_by(matches: Sequence[Match]) -> list[Literal["vector", "text"]]:
    """By its vector, by its words, or by both."""
    ways: list[Literal["vector", "text"]] = []
    if any(match.neighbour.distance is not None for match in matches):
        ways.append("vector")
    if any(match.neighbour.text is not None for match in matches):
        ways.append("text")
    return ways
