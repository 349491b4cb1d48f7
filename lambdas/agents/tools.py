"""What agents can do here, by the Model Context Protocol: the same tools over HTTP and over stdio.

A tool asks the API and answers with what a model can read: links, which are long, only where one thing is shown.
A refusal is a tool error of one sentence, the API's own.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import quote, urlencode

import httpx2
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import BaseModel, Field, ValidationError

from lambdas.agents.places import place_of

Modality = Literal["text", "image", "document", "audio", "video"]
Status = Literal["received", "waiting", "embedding", "indexed", "partial", "failed", "unsupported", "deleted"]
INSTRUCTIONS = (
    "Bucketlens finds what is inside files: passages of texts, pages of documents, pictures, moments of sounds and "
    "films. `search` finds parts by what they say, show or sound like; `show_segment` shows one of them. "
    "`list_assets` tells which files there are and whether they can be found; `add_file` adds one, which is found "
    "after seconds to minutes. Name a file by its key, and its place (a time, a page), when you tell of it."
)
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
PICTURE_BYTES = 4_000_000  # an answer of Lambda's is 6 MB at most, and base64 takes a third more
FETCH_SECONDS = 20
_LINKS = {"url", "thumbnail", "peaks", "uri", "took_ms", "stages_ms", "search_id"}


class Api(Protocol):
    """The HTTP API, however it is reached."""

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`path` with its query; ToolError with one sentence where the API refuses."""


class Like(BaseModel):
    """A file, or the part of it at a second or on a page."""

    asset_id: str
    start: float | None = Field(default=None, description="seconds")
    page: int | None = None


class Server(MCPServer):
    """Says what is wrong with a call in one sentence, which names the argument."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                first = error.__cause__.errors()[0]
                raise ToolError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
            if isinstance(error.__cause__, ToolError):
                raise ToolError(str(error.__cause__)) from error
            raise


def server_of(api: Api) -> Server:
    """A server with all tools but `add_file`, which is another one near the file and far from it."""
    server = Server(
        "bucketlens", title="Bucketlens", instructions=INSTRUCTIONS, subscriptions=False, log_level="WARNING"
    )

    @server.tool(title="Search inside files", annotations=READS)
    def search(
        query: Annotated[str, Field(description="what it says, shows or sounds like, in a sentence")] = "",
        like: Annotated[Like | None, Field(description="find more like this, instead of or beside a query")] = None,
        mode: Annotated[
            Literal["vector", "text", "hybrid"],
            Field(description="by meaning, by the exact words (texts and documents only), or by both"),
        ] = "vector",
        modalities: Annotated[list[Modality] | None, Field(description="only in these kinds of file")] = None,
        filter: Annotated[
            dict[str, Any] | None,
            Field(
                description='such as {"$and": [{"prefix": "talks/"}, {"created": {"$gte": "2026-01-01"}}, '
                '{"speaker": "Ann"}]}; names are asset_id, modality, type, start, end, page, created, size, '
                "duration, prefix (the folder), and attributes; operators $eq $ne $gt $gte $lt $lte $in $nin $exists "
                "$startsWith $and $or"
            ),
        ] = None,
        top_k: Annotated[int, Field(ge=1, le=100, description="how many files")] = 5,
        next: Annotated[str | None, Field(description="what the answer before gave as `next`")] = None,
    ) -> dict[str, Any]:
        """Find the parts of files that fit best: per file its best segments, with time, page or characters, a score
        and, where there is text, the passage. A segment is shown by `show_segment` with its asset_id and segment_id."""
        asked = {"text": query or None, "asset": like and like.model_dump(exclude_none=True)}
        body = {
            "query": _given(asked),
            "mode": mode if mode != "vector" else None,
            "modalities": modalities,
            "filter": filter,
            "top_k": top_k,
            "next": next,
        }
        if not body["query"]:
            raise ToolError("query or like: say what to look for")
        found: dict[str, Any] = _without_links(api.call("POST", "/search", _given(body)))
        return found

    @server.tool(title="Show a part of a file", annotations=READS)
    def show_segment(
        asset_id: Annotated[str, Field(description="of a hit, or of list_assets")],
        segment_id: Annotated[str, Field(description="of a hit's segment, such as TEXT/0 or VIDEO/12")],
    ) -> list[str | Image]:
        """Show one segment: its passage, a picture of its page or of the frame that it begins with, and a link that
        opens the file there for an hour."""
        name, _, number = segment_id.rpartition("/")
        path = f"/assets/{quote(asset_id, '')}/segments/{quote(name or '-', '')}/{quote(number or '-', '')}"
        segment = api.call("GET", path)
        picture = _picture(segment["thumbnail"]) if "thumbnail" in segment else None
        about = [f"{segment['key']} ({segment.get('modality', 'unknown')}), {place_of(segment)}"]
        if segment["status"] == "failed":
            about.append(f"This part could not be indexed: {segment.get('reason', 'no reason given')}")
        about += [segment[name] for name in ("text", "url") if name in segment]
        return ["\n\n".join(about), *([picture] if picture else [])]

    @server.tool(title="List files", annotations=READS)
    def list_assets(
        prefix: Annotated[str, Field(description="what keys begin with, such as a folder")] = "",
        status: Status | None = None,
        modality: Modality | None = None,
        next: Annotated[str | None, Field(description="what the page before gave as `next`")] = None,
    ) -> dict[str, Any]:
        """The files in the order of their keys, a hundred a page: asset_id, key, modality, status, how many segments
        can be found, attributes, and why it failed if it did."""
        query = _given({"prefix": prefix or None, "status": status, "modality": modality, "next": next})
        return api.call("GET", "/assets" + (f"?{urlencode(query, quote_via=quote)}" if query else ""))

    return server


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _without_links(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: item if name == "attributes" else _without_links(item)
            for name, item in value.items()
            if name not in _LINKS
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_links(item) for item in value]
    return value


def _picture(url: str) -> Image | None:
    """None for one that would not fit into an answer, or is no picture."""
    try:
        answer = httpx2.get(url, timeout=FETCH_SECONDS).raise_for_status()
    except httpx2.HTTPError as error:
        raise ToolError("the picture of this segment can't be had just now: try again") from error
    kind, _, form = answer.headers.get("content-type", "").partition("/")
    if kind != "image" or len(answer.content) > PICTURE_BYTES:
        return None
    return Image(data=answer.content, format=form)
