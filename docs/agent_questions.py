"""Three questions as an agent asks them: of `lens mcp`, or of `/mcp` at the address that is given.

A model would choose the tools and read the answers; here the choice is written down, and what matters is printed.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

LENS = StdioServerParameters(command=str(Path(__file__).parents[1] / ".venv/bin/lens"), args=["mcp"])
SAMPLES = {"prefix": "samples/"}


async def main() -> None:
    async with Client(sys.argv[1] if len(sys.argv) > 1 else LENS) as client:
        print("1. When in the recordings does a fast, steady drum beat play?")
        hits = await found(client, query="a fast steady drum beat", modalities=["audio"], filter=SAMPLES, top_k=1)
        for segment in hits[0]["segments"][:2]:
            print(
                f"   {hits[0]['key']}, {segment['start']:.0f} to {segment['end']:.0f} s, score {segment['score']:.3f}"
            )

        print("2. What does the plan in the lease look like?")
        hits = await found(
            client, query="a green lawn beside blue water", modalities=["document"], filter=SAMPLES, top_k=1
        )
        best = hits[0]["segments"][0]
        shown = await client.call_tool(
            "show_segment", {"asset_id": hits[0]["asset_id"], "segment_id": best["segment_id"]}
        )
        for content in shown.content:
            if content.type == "text":
                print("   " + content.text.rpartition("\n\n")[0].replace("\n\n", ": "))
            elif content.type == "image":
                print(f"   and the page as a picture ({content.mime_type}, {len(content.data):,} characters of base64)")

        print("3. Which films are there, and can they be searched?")
        listed = await client.call_tool("list_assets", {"prefix": "samples/", "modality": "video"})
        for asset in (listed.structured_content or {})["assets"]:
            print(f"   {asset['key']}: {asset['status']}, {asset['segment_count']} parts")


async def found(client: Client, **question: Any) -> list[dict[str, Any]]:
    answer = await client.call_tool("search", question)
    if answer.structured_content is None:
        raise SystemExit(f"search: {answer.content}")
    hits: list[dict[str, Any]] = answer.structured_content["hits"]
    return hits


if __name__ == "__main__":
    asyncio.run(main())
