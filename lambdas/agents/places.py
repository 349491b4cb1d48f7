"""Where in a file something is, as a person says it."""

from collections.abc import Mapping
from typing import Any


def place_of(segment: Mapping[str, Any]) -> str:
    """`01:30–01:45`, `page 3`, `characters 0–1,500` or `whole`, of a segment as the API shows it."""
    if "page" in segment:
        return f"page {segment['page']}"
    if "start" in segment:
        return f"{_clock(segment['start'])}–{_clock(segment['end'])}"
    if "start_char" in segment:
        return f"characters {segment['start_char']:,}–{segment['end_char']:,}"
    return "whole"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"
