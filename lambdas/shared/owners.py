"""Whose a file is, where a claim of the caller's token says which files they may see."""

from pydantic import BaseModel, ConfigDict

OWNER_BYTES = 256  # it has room beside every folder's name (`lambdas/shared/metadata.py`)


class Owners(BaseModel):
    """A token whose `claim` is a text sees the files whose `attribute` is that text; empty: everybody sees all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claim: str = ""
    attribute: str = ""


def is_owner(value: object) -> bool:
    """Whether a value names an owner: a text of at most 256 bytes."""
    return isinstance(value, str) and 0 < len(value.encode(errors="replace")) <= OWNER_BYTES
