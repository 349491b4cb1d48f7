"""From a sentence to hits: one embedding, one query, the heads of what was found, groups."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter

from lambdas.search.answers import Hit, Scores, SearchAnswer, SegmentHit
from lambdas.search.links import Links
from lambdas.search.requests import SearchRequest, index_filter
from lambdas.shared.catalog import Catalog
from lambdas.shared.nova import PURPOSES, Nova
from lambdas.shared.records import Head
from lambdas.shared.vectors import Neighbour, VectorStore

PAGE = 100  # neighbours in one answer of S3 Vectors
PAGES = 3


@dataclass
class Stages:
    """Milliseconds by name."""

    started: float = field(default_factory=perf_counter)
    spent: dict[str, int] = field(default_factory=dict)

    def measure(self, name: str, since: float) -> None:
        self.spent[name] = self.spent.get(name, 0) + round((perf_counter() - since) * 1000)

    @property
    def total(self) -> int:
        return round((perf_counter() - self.started) * 1000)


@dataclass(frozen=True)
class Search:
    """The clients of one function; `answer` is its step."""

    model: Nova
    store: VectorStore
    catalog: Catalog
    links: Links

    def answer(self, request: SearchRequest) -> SearchAnswer:
        """The best groups, best first. At most three pages of the index are read until there are enough."""
        stages = Stages()
        wanted = index_filter(request)
        since = perf_counter()
        embedding = self.model.embed_text(request.query.text, purpose_of(request)).values
        stages.measure("embed", since)
        groups: dict[str, list[tuple[Neighbour, Head]]] = {}
        token: str | None = None
        read = 0
        complete = False
        for _ in range(PAGES):
            since = perf_counter()
            found, token = self.store.query(embedding, wanted, PAGE * PAGES, token)
            stages.measure("query", since)
            since = perf_counter()
            exhausted = self._collect(found, request, groups)
            stages.measure("heads", since)
            read += len(found)
            complete = exhausted or len(groups) >= request.top_k or (token is None and read < PAGE * PAGES)
            if complete or token is None:
                break
        since = perf_counter()
        hits = [self._hit(group) for group in list(groups.values())[: request.top_k]]
        stages.measure("links", since)
        return SearchAnswer(
            hits=hits, complete=complete, took_ms=stages.total, stages_ms=stages.spent, search_id=str(uuid.uuid4())
        )

    def _collect(
        self, found: Iterable[Neighbour], request: SearchRequest, groups: dict[str, list[tuple[Neighbour, Head]]]
    ) -> bool:
        """Add live neighbours to their groups, nearest first; True when the rest scores below `min_score`."""
        neighbours = list(found)
        heads = self.catalog.heads(sorted({neighbour.asset_id for neighbour in neighbours}))
        for neighbour in neighbours:
            if request.min_score is not None and similarity(neighbour) < request.min_score:
                return True
            head = heads.get(neighbour.asset_id)
            if head and head.live_generation == neighbour.generation:
                name = neighbour.asset_id if request.group_by == "asset" else neighbour.key
                groups.setdefault(name, []).append((neighbour, head))
        return False

    def _hit(self, group: list[tuple[Neighbour, Head]]) -> Hit:
        best, head = group[0]
        scores = Scores(similarity=similarity(best))
        segments = [self._segment(neighbour, head) for neighbour, head in group]
        return Hit(
            asset_id=head.asset_id,
            key=head.key,
            uri=best.metadata["_uri"],
            title=best.metadata.get("_title"),
            modality=best.metadata["_modality"],
            score=similarity(best),
            scores=scores,
            found_by=["vector"],
            attributes=dict(head.attributes),
            url=segments[0].url,
            thumbnail=segments[0].thumbnail,
            peaks=self.links.peaks(head),
            segments=segments,
        )

    def _segment(self, neighbour: Neighbour, head: Head) -> SegmentHit:
        meta = neighbour.metadata
        return SegmentHit(
            segment_id=neighbour.segment_id,
            start=meta.get("_start"),
            end=meta.get("_end"),
            page=meta.get("_page"),
            start_char=meta.get("_start_char"),
            end_char=meta.get("_end_char"),
            score=similarity(neighbour),
            scores=Scores(similarity=similarity(neighbour)),
            text=meta.get("_text"),
            url=self.links.to(head, start=meta.get("_start"), end=meta.get("_end"), page=meta.get("_page")),
            thumbnail=self.links.thumbnail(head, neighbour.number, meta.get("_page")),
        )


def purpose_of(request: SearchRequest) -> str:
    """The modality's own purpose when the search is narrowed to one, else the general one (Amazon Nova user guide)."""
    if request.purpose:
        return request.purpose
    if request.modalities and len(set(request.modalities)) == 1:
        return PURPOSES[request.modalities[0]]
    return "GENERIC_RETRIEVAL"


def similarity(neighbour: Neighbour) -> float:
    return round(1 - neighbour.distance, 6)
