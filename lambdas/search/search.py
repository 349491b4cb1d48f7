"""From a sentence to hits: for each profile one embedding, one query, the heads of what was found, groups; merged."""

import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lambdas.search.answers import Hit, Scores, SearchAnswer, SegmentHit
from lambdas.search.caller import Caller
from lambdas.search.links import Links
from lambdas.search.requests import RequestError, SearchRequest, index_filter
from lambdas.shared.catalog import Catalog
from lambdas.shared.nova import PURPOSES, Nova
from lambdas.shared.profiles import Profiles
from lambdas.shared.records import Head
from lambdas.shared.vectors import Neighbour, Stores

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

PAGE = 100  # neighbours in one answer of S3 Vectors
PAGES = 3
RANK_CONSTANT = 60  # of reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009)


@dataclass
class Stages:
    """Milliseconds by name; of what goes on side by side the longest counts."""

    started: float = field(default_factory=perf_counter)
    spent: dict[str, int] = field(default_factory=dict)

    def measure(self, name: str, since: float) -> None:
        self.spent[name] = self.spent.get(name, 0) + round((perf_counter() - since) * 1000)

    def join(self, others: Iterable["Stages"]) -> None:
        for other in others:
            self.spent |= {name: max(spent, self.spent.get(name, 0)) for name, spent in other.spent.items()}

    @property
    def total(self) -> int:
        return round((perf_counter() - self.started) * 1000)


Group = list[tuple[Neighbour, Head]]  # the nearest first


@dataclass
class Ranking:
    """What was found under one profile, the best group first; not `complete` where there may be more."""

    profile: str
    groups: dict[str, Group] = field(default_factory=dict)
    complete: bool = False
    stages: Stages = field(default_factory=Stages)


@dataclass(frozen=True)
class Search:
    """The clients of one function; `answer` is its step."""

    profiles: Profiles
    bedrock: "BedrockRuntimeClient"
    stores: Stores
    catalog: Catalog
    links: Links

    def answer(self, caller: Caller, request: SearchRequest) -> SearchAnswer:
        """The best groups, best first: of several profiles the best of each, then the second of each, and so on."""
        stages = Stages()
        asked = self._asked(request)
        wanted = index_filter(request, caller.filter)
        with ThreadPoolExecutor(len(asked)) as pool:
            rankings = list(pool.map(lambda name: self._rank(caller, name, request, wanted), asked))
        stages.join(ranking.stages for ranking in rankings)
        merged = [
            (rank, ranking.profile, group)
            for ranking in rankings
            for rank, group in enumerate(ranking.groups.values(), 1)
        ]
        merged.sort(key=lambda one: one[0])  # stable: of one rank the profile that comes first
        since = perf_counter()
        best = merged[: request.top_k]
        if len(asked) == 1:
            hits = [self._hit(group) for _, _, group in best]
        else:
            hits = [self._hit(group, name, round(1 / (RANK_CONSTANT + rank), 6)) for rank, name, group in best]
        stages.measure("links", since)
        return SearchAnswer(
            hits=hits,
            complete=all(ranking.complete for ranking in rankings),
            took_ms=stages.total,
            stages_ms=stages.spent,
            search_id=str(uuid.uuid4()),
        )

    def _asked(self, request: SearchRequest) -> list[str]:
        """The short names of the profiles to ask, in the order of the deployment's."""
        known = self.profiles.named
        for number, name in enumerate(request.profiles or ()):
            if name not in known:
                raise RequestError(
                    f"there is no profile {name[:64]!r}; there is {', '.join(known)}", f"profiles[{number}]"
                )
        return [name for name in known if request.profiles is None or name in request.profiles]

    def _rank(self, caller: Caller, name: str, request: SearchRequest, wanted: dict[str, Any] | None) -> Ranking:
        """One embedding, and at most three pages of the profile's index until there are enough groups."""
        ranking = Ranking(name)
        profile, stages = self.profiles.named[name], ranking.stages
        since = perf_counter()
        embedding = Nova(self.bedrock, profile).embed_text(request.query.text, purpose_of(request)).values
        stages.measure("embed", since)
        token: str | None = None
        read = 0
        for _ in range(PAGES):
            since = perf_counter()
            found, token = self.stores[profile.name].query(embedding, wanted, PAGE * PAGES, token)
            stages.measure("query", since)
            since = perf_counter()
            exhausted = self._collect(caller, found, request, ranking.groups)
            stages.measure("heads", since)
            read += len(found)
            is_enough = exhausted or len(ranking.groups) >= request.top_k
            ranking.complete = is_enough or (token is None and read < PAGE * PAGES)
            if ranking.complete or token is None:
                break
        return ranking

    def _collect(
        self, caller: Caller, found: list[Neighbour], request: SearchRequest, groups: dict[str, Group]
    ) -> bool:
        """Add live neighbours to their groups, nearest first; True when the rest scores below `min_score`."""
        heads = caller.view_all(self.catalog.heads(sorted({neighbour.asset_id for neighbour in found})))
        for neighbour in found:
            if request.min_score is not None and similarity(neighbour) < request.min_score:
                return True
            head = heads.get(neighbour.asset_id)
            if head and head.live_generation == neighbour.generation:
                name = neighbour.asset_id if request.group_by == "asset" else neighbour.key
                groups.setdefault(name, []).append((neighbour, head))
        return False

    def _hit(self, group: Group, profile: str | None = None, fused: float | None = None) -> Hit:
        best, head = group[0]
        segments = [self._segment(neighbour, head) for neighbour, head in group]
        return Hit(
            asset_id=head.asset_id,
            key=head.key,
            uri=best.metadata["_uri"],
            title=best.metadata.get("_title"),
            modality=best.metadata["_modality"],
            profile=profile,
            score=similarity(best) if fused is None else fused,
            scores=Scores(similarity=similarity(best), fused=fused),
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
