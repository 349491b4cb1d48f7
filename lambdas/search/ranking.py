"""What was found, in order and in groups. All of this is pure: the same in, the same out.

A *match* is one vector that was found, a *group* the matches that are one hit, the best first.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import mul
from typing import Any, NamedTuple

import orjson

from lambdas.search.requests import Mode, Sort
from lambdas.shared.metadata import TAKEN
from lambdas.shared.records import Head
from lambdas.shared.vectors import Neighbour

RANK_CONSTANT = 60  # of reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009)
DAY_SECONDS = 86_400
ALIKE = 0.98  # parts that touch are one where the lesser scores at least this share of the better
GAP_SECONDS, GAP_CHARS = 0.05, 1  # between parts that touch


@dataclass(frozen=True)
class Match:
    """A live neighbour. `score` is what the order is by; `recency` its weight, `rerank` its exact similarity."""

    neighbour: Neighbour
    head: Head
    score: float
    recency: float | None = None
    rerank: float | None = None

    @property
    def similarity(self) -> float | None:
        return None if self.neighbour.distance is None else round(1 - self.neighbour.distance, 6)


@dataclass
class Group:
    """One hit to be: its matches, the best first. `page` is the one of the index's pages on which it came first.

    `fused` and `profile` are there where several profiles were asked.
    """

    name: str
    matches: list[Match] = field(default_factory=list)
    page: int = 0
    profile: str = ""
    fused: float | None = None

    @property
    def best(self) -> Match:
        return self.matches[0]

    @property
    def score(self) -> float:
        return self.best.score if self.fused is None else self.fused


class Span(NamedTuple):
    """Matches of one asset and type that touch, in the order of their numbers, and the best of them."""

    best: Match
    matches: tuple[Match, ...]


def score_of(neighbour: Neighbour, mode: Mode) -> float:
    """The similarity, the BM25 score, or the index's own fusion of both."""
    if mode == "vector":
        return round(1 - (2.0 if neighbour.distance is None else neighbour.distance), 6)
    return round((neighbour.text if mode == "text" else neighbour.fused) or 0.0, 6)


def group_name(match: Match, group_by: str) -> str:
    """Whose hit a match is part of; one without the attribute is its asset's."""
    neighbour = match.neighbour
    if group_by == "segment":
        return neighbour.key
    value = None if group_by == "asset" else attribute(match, group_by)
    return neighbour.asset_id if value is None else orjson.dumps([group_by, value]).decode()


def attribute(match: Match, name: str) -> Any:
    """A user's attribute as it was given, or one of the names that a filter knows; None where there is none."""
    if name in TAKEN:
        return match.neighbour.metadata.get(f"_{name}")
    return match.head.attributes.get(name)


def add(groups: dict[str, Group], matches: Iterable[Match], group_by: str, page: int) -> None:
    """Matches of one page of the index to their groups; those that score the same are in the order of their keys."""
    for match in sorted(matches, key=_order):
        name = group_name(match, group_by)
        groups.setdefault(name, Group(name, page=page)).matches.append(match)


def _order(match: Match) -> tuple[bool, float, str]:
    return match.rerank is None, -match.score, match.neighbour.key


def in_order(groups: Iterable[Group]) -> list[Group]:
    """Each with its best match first, the group with the best of all first; those that were reranked first."""
    for group in groups:
        group.matches.sort(key=_order)
    return sorted(groups, key=lambda group: _order(group.best))


def reranked(groups: Sequence[Group], similarities: Mapping[str, float]) -> list[Group]:
    """Those groups first whose best match has an exact similarity (by its key), in the order of these."""
    for group in groups:
        exact = similarities.get(group.best.neighbour.key)
        if exact is not None:
            group.matches[0] = replace(group.best, score=exact, rerank=exact)
    return in_order(groups)


def aged(groups: Sequence[Group], half_life_days: float, now: float) -> list[Group]:
    """Each score with its weight by age, in the new order."""
    for group in groups:
        group.matches = [_aged(match, half_life_days, now) for match in group.matches]
    return in_order(groups)


def recency_weight(created: float, half_life_days: float, now: float) -> float:
    """1 of what is new, half of it with every half-life."""
    weight: float = 0.5 ** (max(0.0, now - created) / (half_life_days * DAY_SECONDS))
    return round(weight, 6)


def _aged(match: Match, half_life_days: float, now: float) -> Match:
    weight = recency_weight(match.neighbour.metadata.get("_created", now), half_life_days, now)
    score = match.score - abs(match.score) * (1 - weight)  # a score below 0 falls, too
    return replace(match, score=round(score, 6), recency=weight)


def merged(rankings: Sequence[tuple[str, int, Sequence[Group]]]) -> list[Group]:
    """Of each profile its name, how many groups are before these, and these: one list by reciprocal rank fusion.

    A group that several profiles found is one. A single profile's groups stay as they are.
    """
    if len(rankings) == 1:
        return list(rankings[0][2])
    found: dict[str, Group] = {}
    for profile, passed, groups in rankings:
        for rank, group in enumerate(groups, passed + 1):
            worth = 1 / (RANK_CONSTANT + rank)
            if group.name in found:
                other = found[group.name]
                other.matches, other.fused = [*other.matches, *group.matches], (other.fused or 0) + worth
            else:
                found[group.name] = replace(group, profile=profile, fused=worth, matches=list(group.matches))
    for group in found.values():
        group.fused = round(group.fused or 0, 6)
    return sorted(found.values(), key=lambda group: -(group.fused or 0))  # stable: the profile that comes first


def sorted_by(groups: Sequence[Group], sort: Sort) -> list[Group]:
    """By a value of the best match; numbers before texts, what has none last, the most relevant first among equals."""
    values = [(_value(group, sort.by), group) for group in groups]
    there = [pair for pair in values if pair[0] is not None]
    there.sort(key=lambda pair: pair[0], reverse=sort.order == "desc")
    return [group for _, group in there] + [group for value, group in values if value is None]


def _value(group: Group, name: str) -> Any:
    if name == "relevance":
        return (0, group.score)
    value = attribute(group.best, name)
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return None
    return (1, value) if isinstance(value, str) else (0, float(value))


def spans(matches: Sequence[Match]) -> list[Span]:
    """Matches that touch and are as good as each other are one; the best first."""
    runs: list[list[Match]] = []
    for match in sorted(matches, key=lambda one: _place(one)):
        if runs and _touches(runs[-1][-1], match) and _alike([*runs[-1], match]):
            runs[-1].append(match)
        else:
            runs.append([match])
    order = {match.neighbour.key: rank for rank, match in enumerate(matches)}
    found = [Span(min(run, key=lambda one: order[one.neighbour.key]), tuple(run)) for run in runs]
    return sorted(found, key=lambda span: order[span.best.neighbour.key])


def _place(match: Match) -> tuple[str, int]:
    return match.neighbour.key.rpartition("/")[0], match.neighbour.number


def _alike(matches: Sequence[Match]) -> bool:
    scores = [match.score for match in matches]
    return min(scores) >= max(scores) - abs(max(scores)) * (1 - ALIKE)


def _touches(one: Match, other: Match) -> bool:
    (name, number), (other_name, other_number) = _place(one), _place(other)
    if name != other_name or other_number != number + 1:
        return False
    before, after = one.neighbour.metadata, other.neighbour.metadata
    if "_end" in before and "_start" in after:
        return math.isclose(before["_end"], after["_start"], abs_tol=GAP_SECONDS)
    if "_end_char" in before and "_start_char" in after:
        return bool(0 <= after["_start_char"] - before["_end_char"] <= GAP_CHARS)
    return False


Similarity = Callable[[Sequence[float]], float]


def cosine_to(vector: Sequence[float]) -> Similarity:
    """The similarity of others to this one, −1 to 1."""
    length = math.hypot(*vector)
    return lambda other: round(sum(map(mul, vector, other)) / (length * math.hypot(*other)), 6)
