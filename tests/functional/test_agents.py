"""What an agent can do, by the official client of the Model Context Protocol: at `/mcp` and by `lens mcp`."""

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, ImageContent, TextContent

from samples.tour import MEDIA, ROOT
from tests.user import User

pytestmark = pytest.mark.slow
TOOLS = ["add_file", "list_assets", "search", "show_segment"]
Talk = Callable[[Client], Awaitable[None]]


def over_http(user: User, folder: Path) -> AbstractAsyncContextManager[Any]:
    return Client(f"{user.outputs['ApiUrl']}/mcp")


def over_http_as_of_2025(user: User, folder: Path) -> AbstractAsyncContextManager[Any]:
    """With the handshake of older clients."""
    return Client(f"{user.outputs['ApiUrl']}/mcp", mode="legacy")


def over_stdio(user: User, folder: Path) -> AbstractAsyncContextManager[Any]:
    outputs = folder / "stack.json"
    outputs.write_text(json.dumps({"Bucketlens": user.outputs}))
    words = ["-P", "-m", "lens", "--outputs", str(outputs), "mcp"]
    return Client(StdioServerParameters(command=sys.executable, args=words, env={"PYTHONPATH": str(ROOT)}))


TRANSPORTS = pytest.mark.parametrize("connect", [over_http, over_http_as_of_2025, over_stdio])


def talk(client: AbstractAsyncContextManager[Any], what: Talk) -> None:
    async def run() -> None:
        async with client as connected:
            await what(connected)

    asyncio.run(run())


def text_of(result: CallToolResult) -> str:
    (content, *_) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def answer(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What it answers: the same to the model, as text, and to its program."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None and json.loads(text_of(result)) == result.structured_content
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    """The one sentence."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error and "\n" not in text_of(result)
    return text_of(result)


def file_for(connect: Any, path: Path) -> dict[str, Any]:
    """The arguments of `add_file`: a path where the server is on this machine, else the content."""
    if connect is over_stdio:
        return {"path": str(path)}
    return {"name": path.name, "content": base64.b64encode(path.read_bytes()).decode()}


@TRANSPORTS
def test_an_agent_adds_a_document_finds_its_page_and_looks_at_it(user: User, tmp_path: Path, connect: Any) -> None:
    async def what(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert sorted(tools) == TOOLS and all(tool.description for tool in tools.values())
        assert tools["search"].annotations and tools["search"].annotations.read_only_hint
        added = await answer(client, "add_file", **file_for(connect, MEDIA / "lease.pdf"))
        assert added["key"].endswith("/lease.pdf") and added["status"] == "received"
        user.settled(added["key"])
        (asset,) = (await answer(client, "list_assets", prefix=added["key"]))["assets"]
        assert (asset["status"], asset["modality"], asset["segment_count"]) == ("indexed", "document", 3)
        found = await answer(client, "search", query="a plan in green", filter={"asset_id": asset["asset_id"]}, top_k=1)
        (hit,) = found["hits"]
        assert hit["key"] == added["key"] and "http" not in json.dumps(found)
        assert sorted(segment["page"] for segment in hit["segments"]) == [1, 2, 3]
        best = hit["segments"][0]
        shown = await client.call_tool("show_segment", {"asset_id": hit["asset_id"], "segment_id": best["segment_id"]})
        passage, picture = shown.content
        assert isinstance(passage, TextContent) and isinstance(picture, ImageContent)
        title, text, link = passage.text.split("\n\n")
        assert title == f"{added['key']} (document), page {best['page']}" and text == best["text"]
        assert link.endswith(f"#page={best['page']}") and httpx2.get(link).content == (MEDIA / "lease.pdf").read_bytes()
        assert base64.b64decode(picture.data).startswith((b"\x89PNG", b"\xff\xd8")), picture.mime_type

    talk(connect(user, tmp_path), what)


@TRANSPORTS
def test_what_an_agent_does_wrong_it_hears_in_one_sentence(user: User, tmp_path: Path, connect: Any) -> None:
    async def what(client: Client) -> None:
        assert await refusal(client, "search") == "query or like: say what to look for"
        assert (await refusal(client, "search", query="a", modalities=["smell"])).startswith(
            "modalities.0: Input should"
        )
        assert (await refusal(client, "search", query="a", filter={"a": {"$b": 1}})).startswith("filter.a.$b: $b is no")
        assert "there is no asset 'x'" in await refusal(client, "show_segment", asset_id="x", segment_id="TEXT/0")
        assert (await refusal(client, "show_segment", asset_id="x")).startswith("segment_id: Field required")
        assert (await refusal(client, "list_assets", next="%")).startswith("next: ")
        if connect is over_stdio:
            assert "can't be read" in await refusal(client, "add_file", path=str(tmp_path / "none.txt"))
        else:
            assert await refusal(client, "add_file", name="a.txt", content="%") == "content: this is no base64"
            assert (await refusal(client, "add_file", name="")).startswith("name: ")

    talk(connect(user, tmp_path), what)


def test_a_file_that_is_not_at_hand_is_sent_with_the_form_that_the_agent_gets(user: User, tmp_path: Path) -> None:
    async def what(client: Client) -> None:
        form = await answer(client, "add_file", name="far.txt")
        httpx2.post(form["url"], data=form["fields"], files={"file": b"It came by itself."}).raise_for_status()
        assert user.settled(form["key"])["status"] == "indexed"

    talk(over_http(user, tmp_path), what)


def test_there_is_no_stream_to_wait_for_and_no_session_to_end(user: User) -> None:
    url = f"{user.outputs['ApiUrl']}/mcp"
    assert [httpx2.request(method, url).status_code for method in ("GET", "DELETE")] == [405, 405]
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepted = {"accept": "application/json, text/event-stream"}
    answered = httpx2.post(url, json=message, headers=accepted)
    assert answered.headers["content-type"] == "application/json" and "mcp-session-id" not in answered.headers
    assert [tool["name"] for tool in answered.json()["result"]["tools"]] == [
        "search",
        "show_segment",
        "list_assets",
        "add_file",
    ]
    assert httpx2.post(url, content=b"{", headers={**accepted, "content-type": "application/json"}).status_code == 400


def test_a_failed_part_is_shown_with_its_reason(user: User) -> None:
    asset = user.dropped("agents/broken.mp3", b"ID3" + b"\0" * 500)
    answered = user.call("GET", f"/assets/{asset['asset_id']}/segments/AUDIO/0")
    assert answered.status == 404 and "has no segment 'AUDIO/0'" in answered.body["error"]["message"]
