"""Who asks, and what they may see: read here, from the event, and nowhere else.

API Gateway has checked the signature or the token already (`requestContext.authorizer`). A caller with a token sees and
touches only the files of their claim's value, where the deployment names such a claim; whoever signs by IAM is a
service, and sees all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lambdas.search.errors import RequestError
from lambdas.shared.owners import OWNER_BYTES, Owners, is_owner
from lambdas.shared.records import Head


@dataclass(frozen=True)
class Caller:
    """Without an `owner` they may see everything; with one only what has it as its `attribute`."""

    attribute: str = ""
    owner: str | None = None

    @property
    def filter(self) -> dict[str, Any] | None:
        """What every query of the index is narrowed by, whatever else it asks for."""
        return None if self.owner is None else {self.attribute: {"$eq": self.owner}}

    def view(self, head: Head | None) -> Head | None:
        """The asset as this caller may see it, None where it is not theirs.

        A file that was overwritten by another owner's shows nothing of its former content, which is live for a while.
        """
        if head is None or self.owner is None:
            return head
        if head.attributes.get(self.attribute) != self.owner:
            return None
        if head.live and head.live.generation != head.wanted and head.live.owner != self.owner:
            return replace(head, live=None, segment_count=0, failed_segments=0, extent={}, retry_failure=None)
        return head

    def view_all(self, heads: Mapping[str, Head]) -> dict[str, Head]:
        """Those of the heads that are theirs."""
        seen = {name: self.view(head) for name, head in heads.items()}
        return {name: head for name, head in seen.items() if head}

    def check_may_order_for_all(self) -> None:
        """RequestError for who sees only some of the files."""
        if self.owner is not None:
            raise RequestError(
                "this is for callers who see all files; yours can be ordered one by one", code="forbidden", status=403
            )


def read_caller(event: Mapping[str, Any], owners: Owners) -> Caller:
    """RequestError 403 for a token that does not say whose files it is for."""
    token = (event["requestContext"].get("authorizer") or {}).get("jwt")
    if token is None or not owners.claim:
        return Caller()
    value = (token.get("claims") or {}).get(owners.claim)
    if not is_owner(value):
        raise RequestError(
            f"the token has no claim {owners.claim!r} that says whose files you may see"
            if not value
            else f"the token's claim {owners.claim!r} is longer than {OWNER_BYTES} bytes, and can be nobody's",
            code="forbidden",
            status=403,
        )
    return Caller(owners.attribute, value)
