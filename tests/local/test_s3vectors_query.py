"""QueryVectors by vector, by text and by both, over pages, against a plain brute force; the life of a text's index."""

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from local.s3vectors import texts
from local.s3vectors.analyzers import analyze
from local.s3vectors.store import VectorIndex
from tests.local.test_s3vectors import CONDITIONS, Laptop, holds
from tests.local.vector_law import STEMS, Ask, expected

EXAMPLES = int(os.environ.get("QUERY_EXAMPLES", "120"))
OLD, NEW = "old-bucket", "new-bucket"
TEXT_KEYS = {"title": False, "body": True}  # whether in English
WORDS = list(STEMS)

Rows = dict[str, tuple[list[float], dict[str, Any]]]


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    made = Laptop(tmp_path_factory.mktemp("laptop"), older_buckets=[OLD])
    for bucket in (OLD, NEW):
        made.client.create_vector_bucket(vectorBucketName=bucket)
    yield made
    made.close()


@pytest.fixture(scope="module")
def indexes(laptop: Laptop) -> dict[tuple[Any, ...], Rows]:
    """What was put, by what names an index; `index_of` fills it."""
    return {}


def make_index(client: Any, name: str, bucket: str = NEW, **options: Any) -> dict[str, str]:
    names = {"vectorBucketName": bucket, "indexName": name}
    metadata = {"nonFilterableMetadataKeys": ["body"]}
    if bucket == NEW:
        metadata["textSearchConfigurations"] = [  # type: ignore[assignment]
            {"metadataKey": "title"},
            {"metadataKey": "body", "language": "en"},
        ]
    given: dict[str, Any] = {"dimension": 3, "distanceMetric": "cosine", "metadataConfiguration": metadata, **options}
    client.create_index(**names, dataType="float32", **given)
    return names


def put(client: Any, names: dict[str, str], rows: Rows) -> None:
    vectors = [{"key": key, "data": {"float32": row}, "metadata": metadata} for key, (row, metadata) in rows.items()]
    for start in range(0, len(vectors), 500):
        client.put_vectors(**names, vectors=vectors[start : start + 500])


def random_text(chance: random.Random, most: int = 8) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(chance.randrange(most)))


def random_row(chance: random.Random) -> tuple[list[float], dict[str, Any]]:
    """Numbers of few bits, so that there are ties and both ways of reckoning agree to the last bit."""
    row = [chance.randrange(-8, 9) / 4 for _ in range(3)]
    choices: dict[str, list[Any]] = {
        "p": ["a", "ab", "b", 1, 2.5, True, ["a", "b"], [1, 2.5]],
        "q": ["a", 0, -3, False, "", "1", ["ab"]],
        "a.b": ["abc", 2, True],
        "title": [random_text(chance), [random_text(chance), random_text(chance)], 7],
        "body": [random_text(chance, 30)],
    }
    return row if any(row) else [1.0, 0, 0], {
        key: chance.choice(each) for key, each in choices.items() if chance.random() < 0.8
    }


def index_of(
    laptop: Laptop, indexes: dict[tuple[Any, ...], Rows], kind: tuple[str, str, int, int]
) -> tuple[dict[str, str], Rows]:
    """The index of a kind (bucket, metric, how many vectors, seed), filled once with parts replaced and deleted."""
    bucket, metric, size, seed = kind
    name = f"{metric}-{size}-{seed}"
    names = {"vectorBucketName": bucket, "indexName": name}
    if kind not in indexes:
        chance = random.Random(repr(kind))
        make_index(laptop.client, name, bucket, distanceMetric=metric)
        rows = {f"k{n:03}": random_row(chance) for n in range(size)}
        put(laptop.client, names, rows)
        gone = chance.sample(sorted(rows), size // 10)
        if gone:
            laptop.client.delete_vectors(**names, keys=gone)
        again = {key: random_row(chance) for key in chance.sample(sorted(rows), size // 5)}
        put(laptop.client, names, again)
        indexes[kind] = {key: row for key, row in rows.items() if key not in gone} | again
    return names, indexes[kind]


def read_pages(client: Any, **request: Any) -> list[list[dict[str, Any]]]:
    pages, token = [], None
    while True:
        answer = client.query_vectors(**request, **({"nextToken": token} if token else {}))
        pages.append(answer["vectors"])
        token = answer.get("nextToken")
        if token is None:
            return pages


@settings(deadline=None, max_examples=EXAMPLES)
@given(data=st.data())
def test_a_query_answers_as_brute_force_does(
    laptop: Laptop, indexes: dict[tuple[Any, ...], Rows], data: st.DataObject
) -> None:
    bucket = data.draw(st.sampled_from([NEW, NEW, OLD]))
    metric = data.draw(st.sampled_from(["cosine", "euclidean"]))
    size = data.draw(st.sampled_from([150, 9, 260, 0]))
    names, rows = index_of(laptop, indexes, (bucket, metric, size, data.draw(st.integers(0, EXAMPLES // 60))))
    top_k = data.draw(st.sampled_from([1, 3, 10, 100, 101, 250, 10_000]))
    request: dict[str, Any] = {**names, "topK": top_k}
    for flag in ("returnMetadata", "returnDistance", "returnScores"):
        request[flag] = data.draw(st.sampled_from([True, True, False]))
    way = data.draw(st.sampled_from(["hybrid", "text", "vector"])) if bucket == NEW else "vector"
    texts, vector = {}, None
    if way != "vector":
        for key in data.draw(st.lists(st.sampled_from(sorted(TEXT_KEYS)), unique=True, min_size=1)):
            words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
            texts[key] = " ".join(words).title()
    if way != "text":
        vector = [each / 4 for each in data.draw(st.lists(st.integers(-8, 8), min_size=3, max_size=3))]
        vector = vector if any(vector) else [0.0, 1.0, 0.0]
        request["queryVector"] = {"float32": vector}
    if texts:
        request["queryTexts"] = [{"metadataKey": key, "text": text} for key, text in texts.items()]
    condition = data.draw(st.none() | CONDITIONS)
    if condition is not None:
        request["filter"] = condition
    if bucket == NEW or "$startsWith" in str(condition):
        request["queryMode"] = "ENHANCED"
    ask = Ask(
        top_k,
        vector,
        {key: (text, TEXT_KEYS[key]) for key, text in texts.items()},
        lambda metadata: condition is None or holds(condition, {k: v for k, v in metadata.items() if k != "body"}),
    )
    wanted = expected(rows, metric, ask)
    pages = read_pages(laptop.client, **request)
    assert [len(page) for page in pages[:-1]] == [100] * (len(pages) - 1)
    found = [each for page in pages for each in page]
    assert [each["key"] for each in found] == [each.key for each in wanted]
    for each, one in zip(found, wanted, strict=True):
        assert each.get("metadata") == (rows[one.key][1] if request["returnMetadata"] else None)
        shown = one.distance if request["returnDistance"] else None
        assert each.get("distance") == (None if shown is None else pytest.approx(shown, rel=1e-6))
        scores = each.get("scores")
        if not (texts and request["returnScores"]):
            assert scores is None
            continue
        assert scores.get("fused") == (None if one.fused is None else pytest.approx(one.fused, rel=1e-6))
        assert scores.get("vectorDistance") == (None if one.distance is None else pytest.approx(one.distance, rel=1e-6))
        bm25 = {score["metadataKey"]: score["score"] for score in scores.get("bm25Scores", [])}
        assert bm25 == pytest.approx(one.bm25, rel=1e-6)


@settings(deadline=None, max_examples=max(10, EXAMPLES // 8))
@given(data=st.data())
def test_writes_between_pages_neither_repeat_nor_lose_a_result(laptop: Laptop, data: st.DataObject) -> None:
    client, seed = laptop.client, data.draw(st.integers(0, 2**32))
    chance = random.Random(seed)
    names = make_index(client, f"pages-{time.time_ns()}")
    rows = {f"k{n:03}": random_row(chance) for n in range(350)}
    put(client, names, rows)
    asked: dict[str, Any] = {"queryVector": {"float32": [1.0, 0.5, 0.0]}}
    text: dict[str, Any] = {"queryTexts": [{"metadataKey": "body", "text": "dogs running in red houses"}]}
    request = {**names, "topK": 300, "returnMetadata": True, **data.draw(st.sampled_from([asked, text, asked | text]))}
    request |= data.draw(st.sampled_from([{}, {"filter": {"p": {"$exists": True}}}]))
    before = [each["key"] for page in read_pages(client, **request) for each in page]
    touched: set[str] = set()
    found: list[dict[str, Any]] = []
    token = None
    while True:
        answer = client.query_vectors(**request, **({"nextToken": token} if token else {}))
        found += answer["vectors"]
        token = answer.get("nextToken")
        assert all("p" in each["metadata"] for each in answer["vectors"]) or "filter" not in request
        if token is None:
            break
        changed = {f"k{chance.randrange(400):03}": random_row(chance) for _ in range(40)}
        put(client, names, changed)
        gone = [f"k{chance.randrange(400):03}" for _ in range(20)]
        client.delete_vectors(**names, keys=gone)
        touched |= {*changed, *gone}
    keys = [each["key"] for each in found]
    assert len(set(keys)) == len(keys)
    assert [key for key in keys if key not in touched] == [key for key in before if key not in touched]
    client.delete_index(**names)


def with_text(client: Any, names: dict[str, str], **texts: str) -> None:
    put(client, names, {key: ([1.0, 0, 0], {"body": text}) for key, text in texts.items()})


def find(client: Any, names: dict[str, str], text: str, key: str = "body", **more: Any) -> list[str]:
    texts = [{"metadataKey": key, "text": text}]
    answer = client.query_vectors(**{**names, "topK": 10, "queryTexts": texts, **more})
    return [each["key"] for each in answer["vectors"]]


def refused(client: Any, **request: Any) -> tuple[str, str]:
    """Message and path of a ValidationException of QueryVectors."""
    with pytest.raises(ClientError) as caught:
        client.query_vectors(**request)
    response: Any = caught.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (400, "ValidationException")
    [one] = response["fieldList"]
    return response["Error"]["Message"], one["path"]


def text_status(client: Any, names: dict[str, str]) -> dict[str, str]:
    metadata = client.get_index(**names)["index"]["metadataConfiguration"]
    return {each["metadataKey"]: each["status"] for each in metadata.get("textSearchConfigurations", [])}


def active(client: Any, names: dict[str, str], key: str) -> None:
    deadline = time.monotonic() + 60
    while text_status(client, names)[key] != "ACTIVE":
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def names(laptop: Laptop) -> Iterator[dict[str, str]]:
    made = make_index(laptop.client, "one")
    yield made
    laptop.client.delete_index(**made)


def test_a_text_is_found_as_soon_as_it_is_put_and_not_when_it_is_gone(laptop: Laptop, names: dict[str, str]) -> None:
    client = laptop.client
    with_text(client, names, a="A ship at sea", b="Two ships passing")
    assert find(client, names, "SHIPS") == ["a", "b"]
    with_text(client, names, a="A mountain")
    assert find(client, names, "ship") == ["b"]
    client.delete_vectors(**names, keys=["b"])
    assert find(client, names, "ship") == []
    assert find(client, names, "mountains") == ["a"]


@pytest.mark.parametrize(
    ("language", "text", "asked"),
    [
        (None, "The USS-Enterprise (NCC-1701)", "ncc"),
        (None, "Ein Gebäude aus Stein", "gebäude"),
        (None, "国立天文台", "天"),
        ("en", "The runner’s shoes", "running shoe"),
        ("fr", "L’étoile des neiges", "étoiles"),
        ("es", "Las canciones de amor", "canción"),
        ("pt", "Os gatos do mar", "gato"),
        ("it", "Gli amici dell'arte", "arte"),
        ("de", "Die Häuser am Fluss", "haus"),
        ("nl", "De grachten van Amsterdam", "gracht"),
        ("zh", "北京大学图书馆", "图书"),
        ("ja", "東京タワーの夜景", "タワー"),
        ("ko", "서울의 밤거리", "밤거리"),
        ("ja", "ＮＨＫ交響楽団", "nhk 交響"),
    ],
)
def test_each_language_finds_its_other_forms(laptop: Laptop, language: str | None, text: str, asked: str) -> None:
    client, configuration = laptop.client, {"metadataKey": "body", **({"language": language} if language else {})}
    names = make_index(client, "language", metadataConfiguration={"textSearchConfigurations": [configuration]})
    with_text(client, names, other="xyz 7", this=text)
    assert find(client, names, asked) == ["this"]
    client.delete_index(**names)


def test_stop_words_find_nothing_in_a_language_and_something_without_one(laptop: Laptop, names: dict[str, str]) -> None:
    put(laptop.client, names, {"a": ([1.0, 0, 0], {"title": "the end", "body": "the end"})})
    assert find(laptop.client, names, "the") == []
    assert find(laptop.client, names, "the", key="title") == ["a"]


def test_a_filter_applies_before_the_search_for_text(laptop: Laptop, names: dict[str, str]) -> None:
    rows: Rows = {f"k{n:02}": ([1.0, 0, 0], {"body": "red " * (60 - n), "n": n}) for n in range(50)}
    put(laptop.client, names, rows)
    assert find(laptop.client, names, "red", topK=2, filter={"n": {"$gte": 48}}) == ["k48", "k49"]


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ([{"metadataKey": "absent", "text": "x"}], "queryTexts[0].metadataKey"),
        ([{"metadataKey": "body", "text": "x"}, {"metadataKey": "p", "text": "x"}], "queryTexts[1].metadataKey"),
        ([{"metadataKey": "body", "text": "x"}, {"metadataKey": "body", "text": "y"}], "queryTexts[1].metadataKey"),
    ],
)
def test_a_text_for_a_key_without_full_text_search_or_named_twice_is_refused(
    laptop: Laptop, names: dict[str, str], asked: list[dict[str, str]], path: str
) -> None:
    assert refused(laptop.client, **names, topK=1, queryTexts=asked)[1] == path


def test_texts_need_the_enhanced_mode(laptop: Laptop) -> None:
    names = make_index(laptop.client, "classic", OLD)
    texts = [{"metadataKey": "body", "text": "x"}]
    for mode in ({}, {"queryMode": "ENHANCED"}):
        message, path = refused(laptop.client, **names, topK=1, queryTexts=texts, **mode)
        assert (path, "ENHANCED" in message) == ("queryTexts", True)
    laptop.client.delete_index(**names)


def test_a_token_goes_with_its_own_request_only(laptop: Laptop, names: dict[str, str]) -> None:
    with_text(laptop.client, names, **{f"k{n}": "red house" for n in range(150)})
    request = {**names, "topK": 150, "queryTexts": [{"metadataKey": "body", "text": "red"}]}
    token = laptop.client.query_vectors(**request)["nextToken"]
    assert len(laptop.client.query_vectors(**request, nextToken=token)["vectors"]) == 50
    for other in ({"topK": 140}, {"queryTexts": [{"metadataKey": "body", "text": "house"}]}, {"filter": {"p": 1}}):
        assert refused(laptop.client, **{**request, **other}, nextToken=token)[1] == "nextToken"


def test_pages_go_on_after_a_restart(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path / "restarted")
    laptop.client.create_vector_bucket(vectorBucketName=NEW)
    names, chance = make_index(laptop.client, "one"), random.Random(5)
    put(laptop.client, names, {f"k{n:03}": random_row(chance) for n in range(260)})
    for asked in ({}, {"queryTexts": [{"metadataKey": "body", "text": "red dogs"}]}):
        request = {**names, "topK": 250, "queryVector": {"float32": [1.0, 0.5, 0]}, **asked}
        whole = [each["key"] for page in read_pages(laptop.client, **request) for each in page]
        found, token = [], None
        while True:
            answer = laptop.client.query_vectors(**request, **({"nextToken": token} if token else {}))
            found += [each["key"] for each in answer["vectors"]]
            token = answer.get("nextToken")
            if token is None:
                break
            laptop.reopen()
        assert found == whole
    laptop.close()


def test_a_key_becomes_searchable_while_the_laptop_runs(laptop: Laptop, names: dict[str, str]) -> None:
    put(laptop.client, names, {"a": ([1.0, 0, 0], {"summary": "a red house"})})
    add = {"textSearchConfigurations": [{"metadataKey": "summary"}]}
    laptop.client.update_metadata_configuration(**names, add=add)
    active(laptop.client, names, "summary")
    assert find(laptop.client, names, "red", key="summary") == ["a"]


def test_a_text_that_is_replaced_is_there_all_the_time(
    laptop: Laptop, names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_text(laptop.client, names, a="a red house")
    committed, go_on, publish = threading.Event(), threading.Event(), VectorIndex._publish

    def late(*arguments: Any) -> None:
        committed.set()
        go_on.wait(10)
        publish(*arguments)

    monkeypatch.setattr(VectorIndex, "_publish", late)
    with ThreadPoolExecutor(2) as pool:
        again = pool.submit(with_text, laptop.client, names, a="a red ship")
        assert committed.wait(10)
        found = pool.submit(find, laptop.client, names, "red")
        wait([found], timeout=0.5)
        go_on.set()
        assert found.result() == ["a"]
        again.result()


def test_nobody_waits_while_texts_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laptop = Laptop(tmp_path / "waiting")
    laptop.client.create_vector_bucket(vectorBucketName=NEW)
    names = make_index(laptop.client, "one")
    free = []

    def look(text: str, language: str | None) -> list[str]:
        def enter() -> None:
            with laptop.state.transaction():
                pass

        other = threading.Thread(target=enter, daemon=True)
        other.start()
        other.join(2)
        free.append(not other.is_alive())
        return analyze(text, language)

    monkeypatch.setattr(texts, "analyze", look)
    with_text(laptop.client, names, one="a red house")
    laptop.client.update_metadata_configuration(**names, add={"textSearchConfigurations": [{"metadataKey": "other"}]})
    active(laptop.client, names, "other")
    assert len(free) >= 3  # two keys of the put, one that is built
    assert all(free)
    laptop.close()


def test_a_key_becomes_searchable_in_the_background_through_a_restart(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path / "building")
    client = laptop.client
    client.create_vector_bucket(vectorBucketName=NEW)
    names = make_index(client, "one", metadataConfiguration={"nonFilterableMetadataKeys": ["body"]})
    put(client, names, {f"k{n:04}": ([1.0, 0, 0], {"body": f"number{n} " + "red " * 200}) for n in range(3000)})
    configuration = {"textSearchConfigurations": [{"metadataKey": "body", "language": "en"}]}
    client.update_metadata_configuration(**names, add=configuration)
    assert text_status(client, names) == {"body": "BUILDING"}
    asked = [{"metadataKey": "body", "text": "red"}]
    assert "active" in refused(client, **names, topK=1, queryTexts=asked)[0]
    with_text(client, names, k0000="changed", k2999="changed", new="changed")
    client.delete_vectors(**names, keys=["k0001", "k2998"])
    laptop.reopen()
    with_text(client, names, later="changed")
    active(client, names, "body")
    assert find(client, names, "changed") == ["k0000", "k2999", "later", "new"]
    assert [find(client, names, f"number{n}") for n in (0, 1, 2, 2997, 2998)] == [[], [], ["k0002"], ["k2997"], []]
    pages = read_pages(client, **names, topK=10_000, queryTexts=asked)
    assert sum(map(len, pages)) == 2996
    client.update_metadata_configuration(**names, delete={"textSearchConfigurations": [{"metadataKey": "body"}]})
    assert refused(client, **names, topK=1, queryTexts=asked)[1] == "queryTexts[0].metadataKey"
    client.delete_index(**names)
    laptop.close()
