"""Groups, their order, and pages of them: laws over what an index could answer."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.search import ranking
from lambdas.search.caller import Caller
from lambdas.search.embeddings import fused, mean, normalised
from lambdas.search.hits import Hits
from lambdas.search.ranking import Group, Match
from lambdas.search.requests import SearchRequest, Sort
from lambdas.search.search import PAGE, PAGES, Search
from lambdas.shared.profiles import Profiles
from lambdas.shared.records import Head, Live
from lambdas.shared.vectors import Neighbour

DAY = 86_400


def neighbour(asset: int, number: int, distance: float, **metadata: Any) -> Neighbour:
    return Neighbour(f"asset{asset}/g/VIDEO/{number}", distance, {"_created": 0, **metadata})


def head(asset_id: str, **attributes: Any) -> Head:
    live = Live("g", "c", 0, Profiles().default.name)
    return Head(asset_id, asset_id, 0, "indexed", 0, 1, 0, live=live, attributes=attributes)


class OneIndex:
    """Embeds, answers pages, and knows every head: what the search is given, over a list."""

    def __init__(self, found: Sequence[Neighbour], colours: Mapping[str, str]) -> None:
        self.found = sorted(found, key=lambda one: (one.distance, one.key))
        self.colours = colours
        self.pages = 0

    def query(self, *asked: Any) -> tuple[list[Neighbour], str | None]:
        self.pages += 1
        start = int(asked[-1] or 0)
        end = start + PAGE
        return self.found[start:end], str(end) if end < len(self.found) else None

    def heads(self, asset_ids: Sequence[str]) -> dict[str, Head]:
        return {
            name: head(name, **({"colour": self.colours[name]} if name in self.colours else {})) for name in asset_ids
        }

    def bound(self, caller: Any, query: Any) -> None:
        return None

    def sources(self, query: Any) -> dict[str, Any]:
        return {}

    def vector(self, *asked: Any) -> list[float]:
        return [1.0]

    def of(self, groups: Sequence[Group], request: SearchRequest) -> list[Any]:
        self.shown = [(group.name, group.score) for group in groups]
        return []


def all_pages(index: OneIndex, **asked: Any) -> list[tuple[str, float]]:
    profiles = Profiles()
    parts = cast(Any, index)
    search = Search(profiles, parts, {profiles.default.name: parts}, parts, cast(Hits, parts))
    shown: list[tuple[str, float]] = []
    token = None
    while True:
        before = index.pages
        answer = search.answer(Caller(), SearchRequest(query={"text": "x"}, next=token, **asked))  # type: ignore[arg-type]
        assert index.pages - before <= PAGES
        assert len(index.shown) <= asked["top_k"]
        shown += index.shown
        token = answer.next
        if token is None:
            assert answer.complete
            return shown


neighbours = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 400), st.integers(0, 20)), max_size=500, unique_by=lambda one: one[:2]
).map(lambda rows: [neighbour(asset, number, distance / 10) for asset, number, distance in rows])
colours = st.dictionaries(st.integers(0, 60).map(lambda n: f"asset{n}"), st.sampled_from(["red", "blue"]))
group_bys = st.sampled_from(["asset", "segment", "colour"])


@settings(deadline=None, max_examples=25)
@given(neighbours, colours, group_bys, st.integers(1, 100))
def test_all_pages_one_after_the_other_are_the_one_long_list(
    found: list[Neighbour], colours: dict[str, str], group_by: str, top_k: int
) -> None:
    index = OneIndex(found, colours)
    heads = index.heads([one.asset_id for one in found])
    expected: dict[str, float] = {}
    for one in index.found:
        match = Match(one, heads[one.asset_id], ranking.score_of(one, "vector"))
        expected.setdefault(ranking.group_name(match, group_by), match.score)
    assert all_pages(index, group_by=group_by, top_k=top_k) == list(expected.items())


@settings(deadline=None, max_examples=25)
@given(neighbours, colours, group_bys, st.integers(1, 100), st.sampled_from(["created", "relevance", "colour"]))
def test_no_group_comes_twice_and_none_is_left_out_however_they_are_sorted(
    found: list[Neighbour], colours: dict[str, str], group_by: str, top_k: int, by: str
) -> None:
    index = OneIndex(found, colours)
    names = [name for name, _ in all_pages(index, group_by=group_by, top_k=top_k, sort={"by": by, "order": "asc"})]
    heads = index.heads([one.asset_id for one in found])
    assert sorted(names) == sorted({ranking.group_name(Match(one, heads[one.asset_id], 0), group_by) for one in found})


scores = st.floats(-1, 1).map(lambda one: round(one, 6))
matches = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), scores), unique_by=lambda one: one[:2]).map(
    lambda rows: [
        Match(
            neighbour(asset, number, 1 - score, _start=15.0 * number, _end=15.0 * number + 15),
            head(f"asset{asset}"),
            score,
        )
        for asset, number, score in rows
    ]
)


def grouped(found: Sequence[Match], group_by: str = "asset") -> dict[str, Group]:
    groups: dict[str, Group] = {}
    ranking.add(groups, found, group_by, 0)
    return groups


@settings(deadline=None, max_examples=50)
@given(matches)
def test_groups_are_those_of_brute_force(found: list[Match]) -> None:
    groups = ranking.in_order(grouped(found).values())
    for group in groups:
        own = [one for one in found if one.neighbour.asset_id == group.name]
        assert sorted(map(str, own)) == sorted(map(str, group.matches))
        assert group.score == max(one.score for one in own)
    assert sum(len(group.matches) for group in groups) == len(found)
    assert [group.score for group in groups] == sorted((group.score for group in groups), reverse=True)


@settings(deadline=None, max_examples=50)
@given(matches)
def test_what_touches_and_is_alike_is_one_and_nothing_is_lost(found: list[Match]) -> None:
    for group in grouped(found).values():
        spans = ranking.spans(group.matches)
        assert sorted(m.neighbour.key for span in spans for m in span.matches) == sorted(
            m.neighbour.key for m in group.matches
        )
        assert spans[0].best == group.best
        for span in spans:
            numbers = [match.neighbour.number for match in span.matches]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert span.best.score == max(match.score for match in span.matches)


@settings(deadline=None, max_examples=50)
@given(matches, st.floats(0.1, 1000), st.floats(0, 10_000 * DAY))
def test_of_two_as_good_as_each_other_the_older_never_comes_first(
    found: list[Match], half_life: float, now: float
) -> None:
    for group in ranking.aged(list(grouped(found).values()), half_life, now):
        for match in group.matches:
            assert match.recency is not None and 0 <= match.recency <= 1
            assert match.score <= ranking.score_of(match.neighbour, "vector") + 1e-6
    assert ranking.recency_weight(0, 10, 10 * DAY) == 0.5


@settings(deadline=None, max_examples=50)
@given(st.lists(matches, min_size=2, max_size=3))
def test_what_several_profiles_found_is_fused_by_rank(profiles: list[list[Match]]) -> None:
    rankings = [(str(n), 0, ranking.in_order(grouped(found).values())) for n, found in enumerate(profiles)]
    expected: dict[str, float] = {}
    for _, _, groups in rankings:
        for rank, group in enumerate(groups, 1):
            expected[group.name] = expected.get(group.name, 0) + 1 / (60 + rank)
    found = ranking.merged(rankings)
    assert {group.name: group.score for group in found} == {name: round(worth, 6) for name, worth in expected.items()}
    assert [group.score for group in found] == sorted((group.score for group in found), reverse=True)


@settings(deadline=None, max_examples=50)
@given(matches, st.integers(1, 5))
def test_the_reranked_come_first_by_their_exact_similarity(found: list[Match], count: int) -> None:
    groups = ranking.in_order(grouped(found).values())
    best = [group.best.neighbour.key for group in groups[:count]]
    exact = {key: -number / 10 for number, key in enumerate(best)}
    after = ranking.reranked(groups, exact)
    assert [group.score for group in after[:count]] == sorted(exact.values(), reverse=True)
    assert {group.name for group in after} == {group.name for group in groups}


vectors = st.lists(st.floats(-10, 10), min_size=3, max_size=3).filter(lambda one: sum(v * v for v in one) > 0.01)


@settings(deadline=None, max_examples=50)
@given(vectors, st.floats(0.1, 5))
def test_fused_with_itself_a_vector_keeps_its_direction(vector: list[float], weight: float) -> None:
    both = fused({"text": vector, "image": vector}, {"image": weight})
    assert abs(ranking.cosine_to(vector)(both) - 1) < 1e-6


@settings(deadline=None, max_examples=50)
@given(vectors, vectors)
def test_a_part_of_no_weight_does_not_count(one: list[float], other: list[float]) -> None:
    assert abs(ranking.cosine_to(one)(fused({"text": one, "image": other}, {"image": 0})) - 1) < 1e-6


def test_the_mean_is_of_directions_not_of_lengths() -> None:
    assert fused({"text": [1, 0], "image": [0, 100]}, {}) == mean([([1, 0], 1), ([0, 1], 1)])
    assert normalised([3, 4]) == [0.6, 0.8]


def test_sorted_are_numbers_then_texts_then_what_has_none() -> None:
    groups = [
        Group(str(n), [Match(neighbour(n, 0, 0.5), head(f"a{n}", **one), 0.5)])
        for n, one in enumerate([{}, {"year": 2001}, {"year": "about 1990"}, {"year": 1999}, {"year": 2001}])
    ]
    assert [group.name for group in ranking.sorted_by(groups, Sort(by="year", order="asc"))] == [
        "3",
        "1",
        "4",
        "2",
        "0",
    ]
