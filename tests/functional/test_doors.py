"""Two callers whose claims differ: nothing of one is ever in an answer to the other, on any path of the API.

The paths are those that the API itself describes. One that the table below cannot fill in fails the test.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from infra import layers
from local.issuer import Issuer
from local.laptop import Laptop, Settings
from tests.infra.conftest import synthesize
from tests.user import Answer, User

JWT = {"issuer": "https://login.example/", "audience": ["bucketlens"], "claim": "tenant"}
HTTP = urllib3.PoolManager()


@dataclass
class Tenant(User):
    """Somebody with a token. `secret` is a word that stands in all that is theirs; `mine` are their assets by key."""

    name: str = ""
    token: str = ""
    secret: str = ""
    mine: dict[str, dict[str, Any]] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        bearer = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        found = HTTP.request(method, self.outputs["WebApiUrl"] + path, body=data, headers=bearer, timeout=60)
        return Answer(found.status, json.loads(found.data))

    @property
    def own(self) -> list[dict[str, Any]]:
        return list(self.mine.values())

    @property
    def marks(self) -> list[str]:
        """What must never be in another's answer: ids (which are in links, too), keys, words."""
        return [self.secret, *(text for asset in self.own for text in (asset["asset_id"], asset["key"]))]


@dataclass(frozen=True)
class World:
    service: User
    acme: Tenant
    globex: Tenant
    issuer: Issuer

    def token(self, **claims: Any) -> str:
        times = {"iat": 1_600_000_000, "exp": 4_000_000_000}
        return self.issuer.token({"iss": JWT["issuer"], "aud": JWT["audience"][0], "sub": "s", **times, **claims})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("doors")
    done = synthesize(folder / "cdk.out", CDK_CONTEXT_JSON=json.dumps({"jwt": JWT, "stage": "dev"}))
    assert done.returncode == 0, done.stderr
    host = layers.BUILT / "host"
    laptop = Laptop(Settings(assembly=folder / "cdk.out", data=folder / "data", layers=host, aws_port=0, port=0))
    try:
        outputs = laptop.start()
        yield peopled(User(outputs), Issuer(folder / "data" / "aws"))
    finally:
        laptop.stop()


def peopled(service: User, issuer: Issuer) -> World:
    made = World(service, Tenant(service.outputs), Tenant(service.outputs), issuer)
    people = []
    for name, secret in (("acme", "xylophone"), ("globex", "zeppelin")):
        tenant = replace(made.acme, name=name, secret=secret, token=made.token(tenant=name))
        files = {
            f"shared/{secret}.txt": f"The {secret} stood in the hall.".encode(),
            f"shared/{secret}-long.txt": f"A {secret} was heard. ".encode() * 200,
            f"shared/{secret}.png": Path("samples/media/chessboard.png").read_bytes(),
            f"shared/{secret}-broken.pdf": b"%PDF-1.7 nothing",
        }
        for key, content in files.items():
            service.drop(key, content, Metadata={"tenant": name, "word": secret})
        tenant.mine = {key: service.settled(key) for key in files}
        people.append(tenant)
    return replace(made, acme=people[0], globex=people[1])


# -- every path ---------------------------------------------------------------------------------------------------

# What a path's parameters and a body may be, of an asset of somebody's. A path that is not here fails the test.
PARAMETERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "asset_id": lambda asset: asset["asset_id"],
    "embedding_type": lambda asset: "IMAGE" if asset.get("modality") == "image" else "TEXT",
    "number": lambda asset: "0",
    "status": lambda asset: asset["status"],
    "prefix": lambda asset: asset["key"],
    "modality": lambda asset: asset.get("modality"),
    "next": lambda asset: None,
}
BODIES: dict[str, Callable[[dict[str, Any], str], list[Any]]] = {
    "/search": lambda asset, word: (
        [
            {"query": {"text": f"the {word} in the hall"}, "top_k": 100, **more}
            for more in (
                {},
                {"group_by": "segment", "context": 3},
                {"group_by": "word", "mode": "text"},
                {"mode": "hybrid", "context": 3, "rerank": 10, "sort": "created"},
                {"recency": {"half_life_days": 1}, "sort": "tenant"},
                {"filter": {"asset_id": asset["asset_id"]}},
                {"filter": {"$or": [{"tenant": {"$exists": True}}, {"tenant": {"$exists": False}}]}},
                {"filter": {"word": word}, "mode": "text"},
            )
        ]
        + [
            {"query": {"asset": {"asset_id": asset["asset_id"], **place}, **more}}
            for place in ({}, {"start": 0}, {"page": 1})
            for more in ({}, {"text": word})
        ]
    ),
    "/assets/{asset_id}/heat": lambda asset, word: [
        {"query": {"text": word}},
        {"query": {"asset": {"asset_id": asset["asset_id"]}}},
    ],
    "/assets/reprocess": lambda asset, word: [{"prefix": asset["key"]}, {"status": "indexed"}],
    "/uploads": lambda asset, word: [{"name": "mine.txt"}, {"purpose": "query"}],
}


def requests_of(description: dict[str, Any], asset: dict[str, Any], word: str) -> Iterator[tuple[str, str, Any]]:
    """Every route as somebody asks it who means this asset: method, path with its query, body."""
    for template, methods in description["paths"].items():
        for method, route in methods.items():
            names = [one["name"] for one in route.get("parameters", ()) if one["in"] == "path"]
            optional = [one["name"] for one in route.get("parameters", ()) if one["in"] == "query"]
            unknown = {*names, *optional} - PARAMETERS.keys()
            assert not unknown, f"{method} {template}: this test does not know what {unknown} may be"
            path = re.sub(r"[{<](\w+)[}>]", lambda name: PARAMETERS[name[1]](asset), template)
            queries = [""] + [f"?{name}={value}" for name in optional if (value := PARAMETERS[name](asset))]
            assert "requestBody" not in route or template in BODIES, f"no body is known for {method} {template}"
            for body in BODIES[template](asset, word) if "requestBody" in route else [None]:
                for query in queries:
                    yield method.upper(), path + query, body


def assert_nothing_of(other: Tenant, answer: Answer, asked: str, own: dict[str, Any] | None = None) -> None:
    """An answer may repeat what was asked, an unknown id among it, and nothing else."""
    text = json.dumps(answer.body, ensure_ascii=False)
    for mark in other.marks:
        is_echo = answer.status == 404 and mark in asked
        assert mark not in text or is_echo, f"{asked} tells {mark!r}: {text[:500]}"


def test_no_path_tells_one_caller_of_another(world: World) -> None:
    description = world.acme.call("GET", "/openapi.json").body
    for one, other in ((world.acme, world.globex), (world.globex, world.acme)):
        for asset in other.own:
            for method, path, body in requests_of(description, asset, other.secret):
                answer = one.call(method, path, body)
                assert answer.status < 500, (method, path, answer)
                assert_nothing_of(other, answer, f"{method} {path} {body}")
                if asset["asset_id"] in path and answer.status != 422:
                    unknown = one.call(method, path.replace(asset["asset_id"], "a" * 20), body)
                    same = json.loads(json.dumps(answer.body["error"]).replace(asset["asset_id"], "a" * 20))
                    assert (answer.status, same) == (404, unknown.body["error"]), (method, path)
    for tenant in (world.acme, world.globex):
        assert {asset["key"] for asset in world.service.assets(prefix="shared/")} >= tenant.mine.keys()  # all is there


def test_everybody_finds_all_that_is_theirs(world: World) -> None:
    for tenant in (world.acme, world.globex):
        listed = {asset["key"]: asset for asset in tenant.assets()}
        assert listed.keys() == tenant.mine.keys()
        for status in ("indexed", "failed"):
            expected = {key for key, asset in tenant.mine.items() if asset["status"] == status}
            assert expected and {asset["key"] for asset in tenant.assets(status=status)} == expected
        assert [asset["key"] for asset in tenant.assets(modality="image")] == [f"shared/{tenant.secret}.png"]
        assert tenant.assets(prefix="shared/") and not tenant.assets(prefix="elsewhere/")
        found = {hit["key"] for hit in tenant.search(f"the {tenant.secret} in the hall", top_k=100)}
        assert found == {key for key, asset in tenant.mine.items() if asset["status"] == "indexed"}
        asset = tenant.mine[f"shared/{tenant.secret}.txt"]
        assert tenant.call("GET", f"/assets/{asset['asset_id']}").body["url"]
        assert tenant.call("GET", f"/assets/{asset['asset_id']}/segments").body["segments"]
    assert len(world.service.search("the hall", top_k=100)) == 6


def test_more_like_this_asks_with_what_is_the_callers_alone(world: World) -> None:
    for one, other in ((world.acme, world.globex), (world.globex, world.acme)):
        (mine, theirs) = (tenant.mine[f"shared/{tenant.secret}.txt"]["asset_id"] for tenant in (one, other))
        found = one.call("POST", "/search", {"query": {"asset": {"asset_id": mine}}})
        assert found.status == 200 and {hit["key"] for hit in found.body["hits"]} < one.mine.keys(), found
        warm = one.call("POST", f"/assets/{mine}/heat", {"query": {"text": "the hall"}})
        assert warm.status == 200 and warm.body["segments"], warm
        for body in (
            {"query": {"asset": {"asset_id": theirs}}},
            {"query": {"asset": {"asset_id": theirs}, "text": "a"}},
        ):
            assert one.call("POST", "/search", body).status == 404
        assert one.call("POST", f"/assets/{mine}/heat", {"query": {"asset": {"asset_id": theirs}}}).status == 404


def test_the_next_of_one_caller_is_not_anothers(world: World) -> None:
    request = {"query": {"text": "the hall"}, "top_k": 1, "group_by": "segment"}
    first = world.acme.call("POST", "/search", request)
    assert first.body["next"], first
    refused = world.globex.call("POST", "/search", {**request, "next": first.body["next"]})
    assert (refused.status, refused.body["error"]["field"]) == (422, "next")


def test_a_token_that_does_not_say_whose_files_is_refused_in_words(world: World) -> None:
    for claims in ({}, {"tenant": ""}, {"tenant": "x" * 257}):
        answer = replace(world.acme, token=world.token(**claims)).call("GET", "/assets")
        assert answer.status == 403 and "'tenant'" in answer.body["error"]["message"], answer


def test_a_claim_with_other_writing_is_another_caller(world: World) -> None:
    for name in ("ACME", "acme ", "acm", "[acme globex]", ["acme", "globex"], "*", "acme,globex"):
        other = replace(world.acme, token=world.token(tenant=name))
        assert other.assets() == [] and other.search("the hall") == [], name


def test_an_order_for_all_files_is_refused(world: World) -> None:
    for method, path, body in (
        ("POST", "/assets/reprocess", {"prefix": "shared/"}),
        ("POST", "/assets/reconcile", None),
    ):
        answer = world.acme.call(method, path, body)
        assert (answer.status, answer.body["error"]["code"]) == (403, "forbidden")


def test_what_somebody_uploads_is_theirs_and_can_be_nobody_elses(world: World) -> None:
    form = world.acme.call("POST", "/uploads", {"name": "mine.txt"}).body
    stolen = {**form["fields"], "x-amz-meta-tenant": "globex", "file": ("f", b"words")}
    assert HTTP.request("POST", form["url"], fields=stolen).status == 403
    silent = {name: value for name, value in form["fields"].items() if name != "x-amz-meta-tenant"}
    assert HTTP.request("POST", form["url"], fields={**silent, "file": ("f", b"words")}).status == 403
    for more in ({"x-amz-meta-word": "w"}, {"tagging": "<Tagging><TagSet></TagSet></Tagging>"}):
        assert HTTP.request("POST", form["url"], fields={**form["fields"], **more, "file": ("f", b"w")}).status == 403
    assert HTTP.request("POST", form["url"], fields={**form["fields"], "file": ("f", b"words")}).status == 204
    assert world.service.settled(form["key"])["attributes"] == {"tenant": "acme"}
    asset = world.acme.asset(form["key"])
    assert asset and world.globex.call("DELETE", f"/assets/{asset['asset_id']}").status == 404
    assert world.acme.call("POST", f"/assets/{asset['asset_id']}/reprocess").status == 202
    assert world.acme.call("DELETE", f"/assets/{asset['asset_id']}").status == 202
    world.service.until(lambda: world.acme.asset(form["key"]) is None)
    assert world.acme.asset(form["key"], status="deleted") and not world.globex.asset(form["key"], status="deleted")


def test_a_file_that_changes_hands_takes_nothing_of_its_former_content_along(world: World) -> None:
    key = "hands/over.txt"
    asset = world.service.dropped(key, b"The vault opens with cinnamon.", Metadata={"tenant": "acme"})
    path = f"/assets/{asset['asset_id']}"
    assert "cinnamon" in json.dumps(world.acme.call("GET", f"{path}/segments").body)
    told: list[str] = []
    world.service.drop(key, b"Nothing to see. " * 400, Metadata={"tenant": "globex"})  # a job, which takes a while

    def is_there() -> bool:
        for place in (path, f"{path}/segments", "/assets"):
            told.append(json.dumps(world.globex.call("GET", place).body))
        told.append(json.dumps(world.globex.search("the vault opens with cinnamon")))
        return (world.globex.asset(key) or {}).get("status") == "indexed"

    world.service.until(is_there)
    assert "cinnamon" not in "".join(told)
    assert world.acme.call("GET", path).status == 404
    world.service.client("s3").put_object_tagging(
        Bucket=world.service.bucket, Key=key, Tagging={"TagSet": [{"Key": "tenant", "Value": "acme"}]}
    )
    world.service.until(lambda: world.acme.asset(key) is not None)
    assert world.globex.call("GET", path).status == 404 and world.globex.asset(key) is None


def test_agents_are_held_to_the_same(world: World) -> None:
    def ask(tenant: Tenant, tool: str, **arguments: Any) -> str:
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments},
        }
        answer = tenant.call("POST", "/mcp", message, {"accept": "application/json, text/event-stream"})
        assert answer.status == 200, answer
        return json.dumps(answer.body, ensure_ascii=False)

    for one, other in ((world.acme, world.globex), (world.globex, world.acme)):
        theirs = other.own[0]
        said = [
            ask(one, "list_assets"),
            ask(one, "list_assets", prefix=theirs["key"]),
            ask(one, "search", query=f"the {other.secret} in the hall", top_k=100),
            ask(one, "search", query="the hall", filter={"tenant": other.name}),
        ]
        shown = ask(one, "show_segment", asset_id=theirs["asset_id"], segment_id="TEXT/0")
        assert "there is no asset" in shown and other.secret not in shown
        assert one.secret in said[0] and one.secret in said[2]
        for answer in said:
            assert not [mark for mark in other.marks if mark in answer]


def test_the_header_tells_the_doors_apart(world: World) -> None:
    assert world.service.outputs["WebApiUrl"] == world.service.outputs["ApiUrl"]
    assert len(world.service.assets(prefix="shared/")) == 8  # nobody's signature: the local user
    wrong = HTTP.request("GET", f"{world.service.outputs['ApiUrl']}/assets", headers={"Authorization": "Bearer a.b.c"})
    assert wrong.status == 401


def test_pages_of_lists_begin_where_the_caller_may_look(world: World) -> None:
    crafted = "eyJhc3NldF9pZCI6IngiLCJyZWNvcmQiOiJoZWFkIiwib3duZWRfYnkiOiJnbG9iZXgiLCJrZXkiOiJhIn0="  # owned_by: globex
    answer = world.acme.call("GET", f"/assets?next={crafted}")
    assert answer.status == 422 and answer.body["error"]["field"] == "next", answer
