"""What a person reads: tables on a terminal, plain columns in a pipe."""

import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lambdas.agents.places import place_of

STYLES = {"indexed": "green", "partial": "yellow", "failed": "red", "unsupported": "red", "not added": "red"}
PASSAGE_CHARS = 160
SHOWN_SEGMENTS = 3  # of a hit; `--json` has all
PIPE_WIDTH = 10_000  # nothing is cut there


def console_of(stderr: bool = False) -> Console:
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)


def display(shown: Table | str) -> None:
    """On standard output; in a pipe without the spaces that fill a line."""
    console = console_of()
    if console.is_terminal:
        return console.print(shown, markup=False)
    with console.capture() as captured:
        console.print(shown, markup=False)
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n")


def hits(answer: dict[str, Any]) -> Table:
    table = _table("score", "file", "place", "found by", "passage")
    for hit in answer["hits"]:
        segments = hit["segments"]
        for number, segment in enumerate(segments[:SHOWN_SEGMENTS]):
            first = number == 0
            table.add_row(
                Text(f"{segment['score']:.3f}", style="" if first else "dim"),
                Text(segment.get("key", hit["key"] if first else ""), overflow="fold"),
                place_of(segment),
                Text(", ".join(hit["found_by"]) if first else "", style="dim"),
                _passage(segment.get("text", "")),
            )
        if len(segments) > SHOWN_SEGMENTS:
            table.add_row("", Text(f"and {len(segments) - SHOWN_SEGMENTS} more", style="dim"))
    return table


def assets(found: Iterable[dict[str, Any]]) -> Table:
    table = _table("asset_id", "status", "kind", ">parts", ">size", "created", "key")
    for asset in found:
        table.add_row(
            asset["asset_id"],
            _status(asset["status"]),
            asset.get("modality", ""),
            str(asset["segment_count"]),
            size_of(asset["size"]),
            f"{datetime.fromisoformat(asset['created']).astimezone():%Y-%m-%d %H:%M}",
            Text(asset["key"], overflow="fold"),
        )
        if "reason" in asset:
            table.add_row("", "", "", "", "", "", Text(asset["reason"], style="red", overflow="fold"))
    return table


def additions(found: Sequence[dict[str, Any]]) -> Table:
    table = _table("status", "file", "key")
    for one in found:
        table.add_row(
            _status(one["status"]), Text(one["file"], overflow="fold"), Text(one.get("key", ""), overflow="fold")
        )
        if "reason" in one:
            table.add_row("", Text(one["reason"], style="red", overflow="fold"))
    return table


def details(asset: dict[str, Any]) -> Table:
    """One asset, a line for each thing that is known of it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    known = {
        "key": asset["key"],
        "asset_id": asset["asset_id"],
        "status": _status(asset["status"]),
        "reason": asset.get("reason"),
        "retry failed": asset.get("retry_failure"),
        "kind": asset.get("modality"),
        "parts": f"{asset['segment_count']}, {asset['failed_segments']} failed",
        "size": size_of(asset["size"]),
        "length": f"{asset['duration']:.1f} s" if "duration" in asset else None,
        "created": asset["created"],
        "attributes": ", ".join(f"{name}={value}" for name, value in asset["attributes"].items()),
        "link": asset.get("url"),
    }
    for name, value in known.items():
        if value:
            table.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return table


def segments(found: Iterable[dict[str, Any]]) -> Table:
    table = _table("segment_id", "place", "passage")
    for segment in found:
        failed = segment["status"] == "failed"
        said = Text(segment.get("reason", ""), style="red") if failed else _passage(segment.get("text", ""))
        table.add_row(segment["segment_id"], place_of(segment), said)
    return table


def size_of(count: int) -> str:
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 10 else f"{size:.1f} {units[0]}"


def _table(*headings: str) -> Table:
    """A heading with `>` before it is of numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(
            heading.lstrip(">"),
            justify="right" if heading.startswith(">") else "left",
            no_wrap=heading not in ("file", "key", "passage"),
            overflow="fold",
        )
    return table


def _status(status: str) -> Text:
    return Text(status, style=STYLES.get(status, ""))


def _passage(text: str) -> Text:
    return Text(textwrap.shorten(text, PASSAGE_CHARS, placeholder=" …"), style="dim")
