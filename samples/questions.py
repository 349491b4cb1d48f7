"""The questions of docs/search.md, asked of a stack that holds the samples: `python -m samples.questions <ApiUrl>`.

It prints each with its answer, as the page shows them.
"""

import json
import sys
from typing import Any

from samples.tour import PREFIX, call, list_assets

Body = dict[str, Any]
SHOWN = 3


def questions(ids: dict[str, str]) -> list[tuple[str, str, Body]]:
    """Title, path and body of each; `ids` are the samples' asset ids by their names."""
    everything = {"prefix": PREFIX}
    scene = {"asset_id": ids["three-scenes.mp4"], "start": 20}
    return [
        (
            "Call-centre moments by topic",
            "/search",
            {
                "query": {"text": "the customer wants a refund for the coffee machine"},
                "modalities": ["audio"],
                "filter": everything,
                "context": 1,
                "top_k": 1,
            },
        ),
        (
            "Call-centre moments by tone",
            "/search",
            {
                "query": {"text": "an angry, loud voice"},
                "modalities": ["audio"],
                "filter": {"$and": [everything, {"duration": {"$gt": 10}}]},
                "group_by": "segment",
                "top_k": 3,
            },
        ),
        (
            "A product photo and words, more of the photo",
            "/search",
            {
                "query": {
                    "text": "black and white squares",
                    "asset": {"asset_id": ids["sunset.jpg"]},
                    "weights": {"text": 0.3, "asset": 0.7},
                },
                "modalities": ["image"],
                "filter": everything,
            },
        ),
        (
            "Pages of documents with a table or chart",
            "/search",
            {
                "query": {"text": "a chart with purple and orange bars"},
                "modalities": ["document"],
                "filter": {"$and": [everything, {"page": {"$gte": 1}}]},
                "group_by": "segment",
                "top_k": 2,
            },
        ),
        (
            "Scenes of a film",
            "/search",
            {
                "query": {"text": "a bright yellow field"},
                "modalities": ["video"],
                "filter": everything,
                "min_score": 0.1,
            },
        ),
        (
            "More like this scene, of any kind: no call of the model",
            "/search",
            {"query": {"asset": scene}, "filter": everything, "modalities": ["image", "video", "document"]},
        ),
        (
            "How near every moment of the film is to a question",
            f"/assets/{ids['three-scenes.mp4']}/heat",
            {"query": {"text": "deep blue water"}},
        ),
        (
            "Exact words, in Spanish",
            "/search",
            {"query": {"text": "masa madre"}, "mode": "text", "filter": everything, "top_k": 1},
        ),
        (
            "Meaning and words at once, the best three scored by their full vectors",
            "/search",
            {"query": {"text": "lifeboat"}, "mode": "hybrid", "rerank": 3, "filter": everything, "top_k": 3},
        ),
    ]


def line(hit: Body) -> str:
    """A hit or a segment, short."""
    best = hit.get("segments", [hit])[0]
    where = {name: best[name] for name in ("start", "end", "page") if name in best}
    shown = {"key": hit.get("key"), **where, "score": hit["score"], "scores": hit["scores"]}
    if "found_by" in hit:
        shown["found_by"] = hit["found_by"]
    if "context" in best:
        shown["context"] = [[one.get("start"), one.get("end")] for one in best["context"]]
    return json.dumps({name: value for name, value in shown.items() if value is not None})


def main(api: str) -> None:
    ids = {one["key"].removeprefix(PREFIX): one["asset_id"] for one in list_assets(api, PREFIX)}
    for title, path, body in questions(ids):
        answer = call("POST", api + path, body)
        print(f"### {title}\n\n`POST {path}`\n\n```json\n{json.dumps(body)}\n```\n\n```json")
        for hit in answer["segments" if path.endswith("heat") else "hits"][:SHOWN]:
            print(line(hit))
        print(f"```\n\nStages: `{json.dumps(answer['stages_ms'])}`\n")


if __name__ == "__main__":
    main(sys.argv[1])
