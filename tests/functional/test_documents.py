"""Documents: pages that are looked at, texts that are read."""

import io
import json
import urllib.request
from typing import Any

import pytest
from PIL import Image

from lambdas.pages.pages import WAITS
from tests.unit import documents
from tests.unit.media import picture
from tests.user import User

PAGES = [Image.open(io.BytesIO(picture("png", (500, 700), colour))) for colour in ("red", "green", "blue")]


def fetched(url: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(url) as response:
        return response.headers["Content-Type"], response.read()


def found(user: User, text: str, key: str) -> dict[str, Any]:
    """The best segment of the file."""
    hit = next(hit for hit in user.search(text, modalities=["document", "text"], top_k=100) if hit["key"] == key)
    segment: dict[str, Any] = hit["segments"][0]
    return segment


def test_a_scan_is_found_at_the_page_that_looks_so_and_shows_it(user: User) -> None:
    asset = user.dropped("scans/colours.pdf", documents.scan(*PAGES))
    assert (asset["status"], asset["modality"], asset["segment_count"]) == ("indexed", "document", 3)
    segment = found(user, "a plain green picture", "scans/colours.pdf")
    assert (segment["page"], segment["segment_id"]) == (2, "IMAGE/1")
    assert segment["url"].endswith("#page=2") and "text" not in segment
    assert fetched(segment["url"])[1].startswith(b"%PDF-")
    kind, content = fetched(segment["thumbnail"])
    shown = Image.open(io.BytesIO(content))
    assert kind == f"image/{str(shown.format).lower()}" and shown.convert("RGB").getpixel((50, 50))[1] > 100  # type: ignore[index]
    pages = user.call("GET", f"/assets/{asset['asset_id']}/segments").body["segments"]
    assert [one["page"] for one in pages] == [1, 2, 3]


def test_the_text_of_a_page_is_its_passage(user: User) -> None:
    texts = [f"Page {number} of the contract.\nThe tenant keeps {number} goats." for number in range(1, 21)]
    asset = user.dropped("contract.pdf", documents.printed(*texts))
    assert (asset["status"], asset["segment_count"]) == ("indexed", 20)
    pages = user.call("GET", f"/assets/{asset['asset_id']}/segments").body["segments"]
    assert [one["text"] for one in pages] == [" ".join(text.split()) for text in texts]


def test_no_page_is_paid_for_twice_where_one_must_wait_for_room(user: User) -> None:
    url = f"{user.outputs['AwsEndpointUrl']}/_local"

    def embedded() -> int:
        with urllib.request.urlopen(f"{url}/calls?operation=InvokeModel&outcome=ok") as answer:
            calls = json.load(answer)["calls"]
        return sum(one["count"] for one in calls if "Pages" in one["caller"])

    rule = {"fault": "throttle", "service": "bedrock-runtime", "operation": "InvokeModel", "resource": "page-2"}
    body = json.dumps(rule | {"next": len(WAITS) + 2}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/faults", body, method="POST")).close()
    before = embedded()
    asset = user.dropped("waits.pdf", documents.scan(*PAGES))
    assert (asset["status"], asset["segment_count"]) == ("indexed", 3)
    assert embedded() == before + 3


def test_what_was_derived_goes_with_its_generation(user: User) -> None:
    s3 = user.client("s3")

    def derived(asset_id: str) -> set[str]:
        listed = s3.list_objects_v2(Bucket=user.outputs["OutputBucket"], Prefix=f"derived/{asset_id}/")
        return {one["Key"].split("/", 2)[2] for one in listed.get("Contents", [])}

    first = user.dropped("gone.pdf", documents.scan(*PAGES))
    before = derived(first["asset_id"])
    assert {name.partition("/")[2] for name in before} == {"page-1", "page-2", "page-3"}
    user.dropped("gone.pdf", documents.scan(PAGES[0]))
    user.until(lambda: len(derived(first["asset_id"])) == 1)
    assert not before & derived(first["asset_id"])
    user.remove("gone.pdf")
    user.until(lambda: not derived(first["asset_id"]))


@pytest.mark.parametrize(
    ("key", "content", "reason"),
    [
        ("bad/cut.pdf", documents.scan(*PAGES)[:-2000], "broken"),
        ("bad/empty.pdf", b"%PDF-1.7\n%%EOF", "broken"),
        ("bad/cut.docx", documents.word("A", ["b"])[:-3000], "broken"),
        ("bad/blank.docx", documents.word("", [""]), "no text"),
        ("bad/only-pictures.pptx", documents.slides(("", "", ""), ("", "", "")), "no text"),
        ("bad/blank.xlsx", documents.sheet("Towns"), "no text"),
        ("bad/blank.html", b"<html><body><script>1</script></body></html>", "no text"),
        ("bad/letter.eml", b"\x00\x01", "none of the headers"),
    ],
)
def test_a_document_that_cannot_be_read_says_why(user: User, key: str, content: bytes, reason: str) -> None:
    asset = user.dropped(key, content)
    assert asset["status"] == "failed" and reason in asset["reason"], asset["reason"]


TEXTS: list[tuple[str, bytes, str, str, str]] = [
    (
        "tides.docx",
        documents.word("Tides", ["High water is at noon."], [["harbour", "height"], ["Ostend", "4 m"]]),
        "document",
        "high water at noon in the harbour",
        "Tides\nHigh water is at noon.\nharbour\theight\nOstend\t4 m",
    ),
    (
        "deck.pptx",
        documents.slides(("Bees", "Hives survive the winter", "mention the honey")),
        "document",
        "bees and their hives in winter",
        "[Slide 1]\nBees\nHives survive the winter\nmention the honey",
    ),
    (
        "towns.xlsx",
        documents.sheet("Towns", ["town", "people"], ["Bern", 134000], ["Chur", None]),
        "document",
        "how many people live in the town of Bern",
        "[Towns]\ntown\tpeople\nBern\t134000\nChur",
    ),
    (
        "mail.eml",
        b"From: a@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b"Content-Type: text/html; charset=iso-8859-1\r\n\r\n<p>The <b>inv</b>oice for the cheese, na\xefve.</p>",
        "document",
        "the invoice for the cheese",
        "From: a@example.org\nSubject: Grüße\n\nThe invoice for the cheese, naïve.",
    ),
    (
        "bread.html",
        "<title>x</title><style>p {}</style><h1>Brød</h1><p>Knead the <b>do</b>ugh.</p>".encode("utf-16"),
        "text",
        "knead the dough for bread",
        "Brød\n\nKnead the dough.",
    ),
    ("towns.csv", b"town;river\nBern;Aare\n", "text", "which river flows through the town", "town;river\nBern;Aare"),
    ("a.json", b'{"recipe": "pancakes"}', "text", "recipe for pancakes", '{"recipe": "pancakes"}'),
]


@pytest.mark.parametrize(("key", "content", "modality", "query", "text"), TEXTS, ids=[one[0] for one in TEXTS])
def test_the_text_of_a_document_is_found_and_shown(
    user: User, key: str, content: bytes, modality: str, query: str, text: str
) -> None:
    asset = user.dropped(key, content)
    assert (asset["status"], asset["modality"], asset["segment_count"]) == ("indexed", modality, 1), asset
    segment = found(user, query, key)
    assert segment["text"].strip() == text.strip()


@pytest.mark.parametrize("sender", ["=?utf-8?b?", "@", "<@:>", "a@b.c"])
def test_a_mail_is_read_whatever_its_headers_look_like(user: User, sender: str) -> None:
    body = f"From: {sender}\r\nDate: Mon, 1 Jan 999999999999 00:00:00 +0000\r\nSubject: cheese\r\n\r\nGood day."
    asset = user.dropped(f"odd/{sender.encode().hex()}.eml", body.encode())
    assert asset["status"] == "indexed", asset


def test_a_long_document_is_cut_into_passages_with_their_places(user: User) -> None:
    asset = user.dropped("long.docx", documents.word("Whales", [f"Whale number {n} sings alone." for n in range(400)]))
    assert asset["status"] == "indexed" and asset["segment_count"] > 5
    segment = found(user, "whale number 399 sings", "long.docx")
    assert segment["start_char"] < segment["end_char"] and "Whale number" in segment["text"]


def test_a_page_is_read_as_it_is_shown(user: User) -> None:
    page = b"""<html><head><title>no</title></head><body><div style="display: none">no<br>no</div>
        <ul><li>one<li>two <i>thr</i>ee</ul><pre>four
  five</pre><img src=x alt="six"><script>no</script><p hidden>no</p><p>se<!-- no -->ven<br>eight
        <table><tr><th>nine<th>ten</tr><tr><td><td>eleven</table>"""
    assert user.dropped("shown.html", page)["status"] == "indexed"
    text = "* one\n* two three\n\nfour\n  five\n\n[six]\n\nseven\neight\n\nnine\tten\neleven"
    assert found(user, "one two three four five six", "shown.html")["text"] == text


def test_cells_are_not_padded_to_the_widest_of_their_column(user: User) -> None:
    rows = "<tr><td>narrow</td></tr>" * 1000
    asset = user.dropped("wide.html", f"<table><tr><td>{'wide ' * 1000}</td></tr>{rows}</table>".encode())
    assert asset["status"] == "indexed" and asset["segment_count"] < 12, asset
