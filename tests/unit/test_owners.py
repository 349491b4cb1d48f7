"""Whose a file is: never cut, never a date; and what a caller sees of a file that changed hands."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.search.caller import Caller, read_caller
from lambdas.search.errors import RequestError
from lambdas.shared.metadata import attributes_of
from lambdas.shared.owners import OWNER_BYTES, Owners
from lambdas.shared.records import Head, Live

TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=80)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20)
OWNERS = Owners(claim="tenant", attribute="zone")


@given(TEXT.filter(lambda text: len(text.encode()) <= OWNER_BYTES), st.dictionaries(NAMES, TEXT, max_size=60))
def test_the_owner_is_kept_whatever_else_has_no_room(owner: str, others: dict[str, str]) -> None:
    found = attributes_of("k" * 1000 + "/file", {**others, "zone": owner}, owner_attribute="zone")
    assert found.owner == found.kept["zone"] == owner and "zone" not in found.dropped


@pytest.mark.parametrize("value", [7, True, ["acme", "globex"], "x" * (OWNER_BYTES + 1), "", None])
def test_what_is_no_short_text_is_nobodys(value: Any) -> None:
    assert attributes_of("key", {}, {"zone": value}, owner_attribute="zone").owner is None


def test_an_owner_that_looks_like_a_date_stays_a_text() -> None:
    found = attributes_of("key", {}, {"zone": "2026-01-01", "day": "2026-01-01"}, owner_attribute="zone")
    assert found.dates == ("day",) and found.indexed["zone"] == "2026-01-01"


def test_a_caller_sees_their_own_and_nothing_of_what_was_anothers() -> None:
    live = Live("g1", "c1", 0, "p")
    head = Head("a", "k", 1, "indexed", 0, 1, 1, wanted="g1", live=live, attributes={"zone": "acme"}, segment_count=3)
    acme, globex = Caller("zone", "acme"), Caller("zone", "globex")
    assert acme.view(head) == head and globex.view(head) is None and Caller().view(head) == head
    taken = replace(head, wanted="g2", live=replace(live, owner="acme"), attributes={"zone": "globex"})
    seen = globex.view(taken)
    assert acme.view(taken) is None and seen and seen.live is None and seen.segment_count == 0
    kept = replace(taken, attributes={"zone": "acme"})
    assert acme.view(kept) == kept  # overwritten by its owner: found by what it was until the new is in


def test_only_a_token_is_held_to_a_claim() -> None:
    def event(**authorizer: Any) -> dict[str, Any]:
        return {"requestContext": {"authorizer": authorizer}}

    assert read_caller({"requestContext": {}}, OWNERS) == read_caller(event(iam={}), OWNERS) == Caller()
    assert read_caller(event(jwt={"claims": {"tenant": "acme"}}), OWNERS) == Caller("zone", "acme")
    assert read_caller(event(jwt={"claims": {}}), Owners()) == Caller()
    for claims in ({}, {"tenant": ""}, {"zone": "acme"}, {"tenant": "x" * (OWNER_BYTES + 1)}, None):
        with pytest.raises(RequestError) as refused:
            read_caller(event(jwt={"claims": claims}), OWNERS)
        assert refused.value.status == 403
