"""From a question to hits: for each profile one vector, one query, the heads of what was found, groups; merged."""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

from lambdas.search.answers import SearchAnswer
from lambdas.search.caller import Caller
from lambdas.search.cursor import Cursor, Place, read_cursor
from lambdas.search.embeddings import Embeddings, Source, Vector
from lambdas.search.errors import RequestError
from lambdas.search.filters import Filter, index_filter, only_modality
from lambdas.search.hits import Hits
from lambdas.search.ranking import (
    Group,
    Match,
    add,
    aged,
    cosine_to,
    in_order,
    merged,
    reranked,
    score_of,
    sorted_by,
)
from lambdas.search.requests import SearchRequest, Sort
from lambdas.shared.catalog import Catalog
from lambdas.shared.errors import RefusedError
from lambdas.shared.nova import PURPOSES
from lambdas.shared.profiles import Profiles
from lambdas.shared.vectors import Neighbour, Stores

PAGES = 3  # of the index, for one answer
PAGE = 100  # neighbours in one of them
DEPTH = 10_000  # neighbours that pages of one search can reach: S3 Vectors' limit
TEXT_KEYS = ("_text", "_title")  # what is searched for words
TEXT_CHARS = 1_024  # of a query's words (S3 user guide, "Querying with full-text and vector search")
BUILDING = ("building", "no active text search configuration")


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


@dataclass(frozen=True)
class Question:
    """A request that makes sense: what is asked of each profile's index, and how.

    With `is_whole`, the order is not that of the index: then all pages are read before the first hit is known.
    """

    caller: Caller
    request: SearchRequest
    sources: Mapping[str, Source]
    purpose: str
    filter: Filter | None
    texts: Mapping[str, str]
    sort: Sort | None
    cursor: Cursor
    is_whole: bool

    @property
    def needs_vector(self) -> bool:
        return self.request.mode != "text" or self.request.rerank is not None


@dataclass
class Ranking:
    """What was found under one profile, the best group first, from a place of its index on.

    `tokens` are those of the pages that were read; `after` is the one of the page that comes next, if any.
    """

    profile: str
    place: Place
    groups: list[Group] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    after: str | None = None
    stages: Stages = field(default_factory=Stages)

    def beyond(self, left: Sequence[str], is_whole: bool) -> Place:
        """Where to go on for what is left of the groups: at the first page that holds one of them."""
        pages = [group.page for group in self.groups if group.name in left]
        if not pages:
            return Place(self.after, self.place.passed + len(self.groups), done=self.after is None)
        first = 0 if is_whole else min(pages)
        passed = sum(group.page < first for group in self.groups)
        return Place(self.tokens[first], self.place.passed + passed)


@dataclass(frozen=True)
class Search:
    """The clients of one function; `answer` is its step."""

    profiles: Profiles
    embeddings: Embeddings
    stores: Stores
    catalog: Catalog
    hits: Hits

    def answer(self, caller: Caller, request: SearchRequest) -> SearchAnswer:
        """The best groups that come after `next`, of what the caller may see."""
        stages = Stages()
        question = self._understood(caller, request)
        asked = [name for name in self._asked(question) if not question.cursor.place(name).done]
        with ThreadPoolExecutor(max(1, len(asked))) as pool:
            rankings = list(pool.map(lambda name: self._rank(name, question), asked))
        stages.join(ranking.stages for ranking in rankings)
        groups = merged([(one.profile, one.place.passed, one.groups) for one in rankings]) if rankings else []
        if question.sort:
            groups = sorted_by(groups, question.sort)
        new = [group for group in groups if not question.cursor.has_shown(group.name)]
        shown, left = new[: request.top_k], [group.name for group in new[request.top_k :]]
        places = {one.profile: one.beyond(left, question.is_whole) for one in rankings}
        following = question.cursor.beyond({**question.cursor.places, **places}, [group.name for group in shown])
        since = perf_counter()
        hits = self.hits.of(shown, request)
        stages.measure("links", since)
        return SearchAnswer(
            hits=hits,
            next=following.token(request, caller.owner) if following else None,
            complete=len(shown) == request.top_k or following is None,
            notes=_notes(question, rankings) or None,
            took_ms=stages.total,
            stages_ms=stages.spent,
            search_id=str(uuid.uuid4()),
        )

    def _understood(self, caller: Caller, request: SearchRequest) -> Question:
        query = request.query
        if not query.parts:
            raise RequestError("a query has a text, image, audio, video, asset or vector", "query")
        check_mode(request)
        for name in ("group_by", "sort"):
            _check_name(getattr(request, name), name)
        sort = Sort(by=request.sort) if isinstance(request.sort, str) else request.sort
        sort = None if sort == Sort(by="relevance") else sort
        others = request.group_by not in ("asset", "segment") and len(self.profiles.named) > 1
        only = only_modality(request.filter, request.modalities)
        return Question(
            caller=caller,
            request=request,
            sources=self.embeddings.sources(query),
            purpose=request.purpose or PURPOSES.get(only or "", "GENERIC_RETRIEVAL"),
            filter=index_filter(
                request.filter, request.modalities, [query.asset.asset_id] if query.asset else [], caller.filter
            ),
            texts={} if request.mode == "vector" else dict.fromkeys(TEXT_KEYS, (query.text or "")[:TEXT_CHARS]),
            sort=sort,
            cursor=read_cursor(request, caller.owner),
            is_whole=bool(sort or request.recency or request.rerank or others),
        )

    def _asked(self, question: Question) -> list[str]:
        """The short names of the profiles to ask, in the order of the deployment's."""
        known, request = self.profiles.named, question.request
        for number, name in enumerate(request.profiles or ()):
            if name not in known:
                raise RequestError(
                    f"there is no profile {name[:64]!r}; there is {', '.join(known)}", f"profiles[{number}]"
                )
        asked = [name for name in known if request.profiles is None or name in request.profiles]
        if (only := self.embeddings.bound(question.caller, request.query)) is None:
            return asked
        if only not in asked:
            raise RequestError(f"the query is of the profile {only!r}, and vectors of two do not compare", "profiles")
        return [only]

    def _rank(self, name: str, question: Question) -> Ranking:
        """One vector, and at most three pages of the profile's index until there are enough groups."""
        request, profile = question.request, self.profiles.named[name]
        ranking = Ranking(name, question.cursor.place(name))
        stages, since = ranking.stages, perf_counter()
        vector: Vector | None = None
        if question.needs_vector:
            vector = self.embeddings.vector(question.caller, request.query, question.sources, profile, question.purpose)
            stages.measure("embed", since)
        groups: dict[str, Group] = {}
        ranking.after = ranking.place.token
        while len(ranking.tokens) < PAGES:
            since = perf_counter()
            ranking.tokens.append(ranking.after)
            found, ranking.after = self._page(profile.name, question, vector, ranking.after)
            stages.measure("query", since)
            since = perf_counter()
            matches, ends = self._live(found, question)
            add(groups, matches, request.group_by, len(ranking.tokens) - 1)
            stages.measure("heads", since)
            ranking.after = None if ends else ranking.after
            new = sum(not question.cursor.has_shown(group) for group in groups)
            if ranking.after is None or (new >= request.top_k and not question.is_whole):
                break
        ranking.groups = self._weighed(list(groups.values()), profile.name, question, vector, ranking)
        return ranking

    def _page(
        self, store: str, question: Question, vector: Vector | None, token: str | None
    ) -> tuple[list[Neighbour], str | None]:
        asked = None if question.request.mode == "text" else vector
        try:
            return self.stores[store].query(asked, question.texts, question.filter, DEPTH, token)
        except RefusedError as error:
            if question.texts and any(sign in str(error).lower() for sign in BUILDING):
                message = "the words of this index are still being taken in: ask again later, or with mode `vector`"
                raise RequestError(message, "mode", code="index_building", status=409) from error
            if token:
                raise RequestError(f"this `next` is no longer good, begin again: {error}", "next") from error
            raise

    def _live(self, found: list[Neighbour], question: Question) -> tuple[list[Match], bool]:
        """Those whose generation is live, and the caller's; True when the rest scores below `min_score`."""
        request = question.request
        heads = question.caller.view_all(self.catalog.heads(sorted({neighbour.asset_id for neighbour in found})))
        matches: list[Match] = []
        for neighbour in found:
            score = score_of(neighbour, request.mode)
            if request.min_score is not None and score < request.min_score:
                if request.mode == "text":  # how the service puts the scores of several texts in order it does not say
                    continue
                return matches, True
            head = heads.get(neighbour.asset_id)
            if head and head.live_generation == neighbour.generation:
                matches.append(Match(neighbour, head, score))
        return matches, False

    def _weighed(
        self, groups: list[Group], store: str, question: Question, vector: Vector | None, ranking: Ranking
    ) -> list[Group]:
        """In their order: by the index, the full vectors of the best, their age."""
        request, since = question.request, perf_counter()
        groups = in_order(groups) if question.is_whole else groups
        if request.rerank and vector is not None and not ranking.place.passed:
            keys = [group.best.neighbour.key for group in groups[: request.rerank]]
            similarity = cosine_to(vector)
            groups = reranked(groups, {key: similarity(values) for key, values in self.stores[store].values(keys)})
            ranking.stages.measure("rerank", since)
        if request.recency:
            groups = aged(groups, request.recency.half_life_days, time.time())
        return groups


def check_mode(request: SearchRequest) -> None:
    """RequestError where the query has not what its mode needs, or what it has no use for."""
    if request.mode == "vector":
        return
    if request.query.text is None:
        raise RequestError(f"mode `{request.mode}` looks for words: the query needs a text", "query.text")
    others = [part for part in request.query.parts if part != "text"]
    if request.mode == "text" and others and not request.rerank:
        message = "mode `text` looks for words alone: leave this out, or ask with mode `hybrid`"
        raise RequestError(message, f"query.{others[0]}")


def _check_name(value: Sort | str | None, field: str) -> None:
    name = value.by if isinstance(value, Sort) else value
    if name and name.startswith(("_", "$", "-")):
        raise RequestError("this is no name of an attribute", f"{field}.by" if isinstance(value, Sort) else field)


def _notes(question: Question, rankings: Sequence[Ranking]) -> list[str]:
    notes, request = [], question.request
    if question.texts and len(request.query.text or "") > TEXT_CHARS:
        notes.append(f"the words of the text's first {TEXT_CHARS:,} characters were looked for")
    if question.is_whole and any(ranking.after for ranking in rankings):
        notes.append(f"put in order are the best {PAGES * PAGE} parts; `next` goes on with those behind them")
    return notes
