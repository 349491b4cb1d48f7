"""The page in a real browser: a file of each kind is dropped on it, found by a sentence, and opened at its place."""

import io
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from samples.tour import MEDIA
from tests.more.chromium import Chromium, Tab, chromium
from tests.unit.films import Scene, film
from tests.user import User

FILE = "[...document.querySelectorAll('#files > li')].find(li => li.querySelector('.name').textContent === {name})"
HIT = "document.querySelector('ul[aria-label=Results] > li')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def tab(browser: Chromium, user: User) -> Iterator[Tab]:
    """The page, which must ask nobody but its own origin and the buckets, and do nothing that the browser refuses."""
    with browser.tab(user.outputs["ApiUrl"] + "/") as tab:
        yield tab
        tab.run("1")  # whatever happened before has been told then
        asked = [event["params"]["request"]["url"] for event in tab.events if _is(event, "Network.requestWillBeSent")]
        own = (user.outputs["ApiUrl"] + "/", user.outputs["AwsEndpointUrl"] + "/", "data:")  # of the players' buttons
        assert asked and not [url for url in asked if not url.startswith(own)]
        assert not [event for event in tab.events if _is(event, "Log.entryAdded", "Runtime.exceptionThrown")]


def _is(event: dict[str, Any], *names: str) -> bool:
    return event["method"] in names


def search(tab: Tab, text: str) -> None:
    """Type a sentence into the empty search box, and wait for the first result."""
    tab.run("document.querySelector('input[type=search]').select()")
    tab.type(text)
    tab.press_enter()
    tab.until(f"!!{HIT}")


def settled(tab: Tab, name: str) -> str:
    """What the page says about a file at last."""
    file = FILE.format(name=json.dumps(name))
    told: str = tab.until(
        f"(li => li && /indexed|failed|not uploaded/.test(li.dataset.status) && li.innerText)({file})"
    )
    return told


def found(tab: Tab, name: str, sentence: str) -> None:
    """The file is first among what the sentence finds."""
    assert "indexed" in settled(tab, name)
    assert tab.run("document.querySelector('ul[aria-label=Results]').children.length") == 0
    search(tab, sentence)
    assert tab.run(f"{HIT}.querySelector('h3').textContent") == name


def shown(tab: Tab, selector: str) -> None:
    """The first result has this picture, and the browser has loaded it."""
    tab.until(f"(image => image.complete && image.naturalWidth > 0)({HIT}.querySelector({json.dumps(selector)}))")


def test_a_text_shows_its_passage(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "<b>otters<i> 100% + #1 ü.txt"
    file.write_text("Otters hold hands while they sleep, <b>so</b> that they do not drift apart.")
    tab.drop(file)
    found(tab, file.name, "sleeping otters hold hands")
    assert tab.run(f"{HIT}.querySelector('blockquote').textContent") == file.read_text()


def test_a_long_passage_shows_the_part_with_the_words(tab: Tab, user: User) -> None:
    remark = "The minutes were read without any remark. "
    text = remark * 20 + "Then a Narwhal came in with its tusks. " + remark * 10
    user.dropped("minutes.txt", text.encode())
    search(tab, "narwhals, or a narwhal with tusks")
    shown = tab.run(f"{HIT}.querySelector('blockquote').firstChild.textContent")
    assert "a Narwhal came in with its tusks. The minutes" in shown and len(shown) < 430
    assert shown.startswith("… ") and shown.endswith(" … ")
    search(tab, "secretary")
    assert tab.run(f"{HIT}.querySelector('blockquote').textContent").startswith(remark)


def test_a_film_that_cannot_be_played_keeps_its_picture(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "old.wmv"
    file.write_bytes(film([Scene("red", "hum", 6)], "wmv"))
    tab.choose("#chosen", file)
    found(tab, file.name, "a red scene with a hum")
    tab.until(f"/cannot be played/.test({HIT}.querySelector('.trouble')?.textContent)")
    shown(tab, "img[alt='old.wmv']")


def test_a_document_shows_its_page_and_opens_there(tab: Tab, tmp_path: Path) -> None:
    pages = [Image.new("RGB", (620, 877), colour) for colour in ("red", "green", "yellow", "white")]
    file = tmp_path / "colours.pdf"
    pages[0].save(file, "PDF", save_all=True, append_images=pages[1:])
    tab.choose("#chosen", file)
    found(tab, file.name, "a bright yellow page")
    shown(tab, "a[href$='#page=3'] img[alt='colours.pdf, page 3']")
    link = tab.run(f"{HIT}.querySelector('h3 a').href")
    assert link.endswith("#page=3")
    with urllib.request.urlopen(link.partition("#")[0]) as answer:
        assert answer.headers["Content-Type"] == "application/pdf" and answer.read() == file.read_bytes()


def test_an_image_shows_its_thumbnail(tab: Tab) -> None:
    tab.choose("#chosen", MEDIA / "chessboard.png")
    found(tab, "chessboard.png", "black and white checkered board, high contrast")
    shown(tab, "a img")
    with urllib.request.urlopen(tab.run(f"{HIT}.querySelector('a img').closest('a').href")) as answer:
        assert Image.open(io.BytesIO(answer.read())).format == "PNG"


def test_a_sound_plays_from_its_second(tab: Tab, user: User) -> None:
    tab.choose("#chosen", MEDIA / "evening.mp3")
    sentence = "a deep low-pitched hum"
    found(tab, "evening.mp3", sentence)
    start = user.search(sentence)[0]["segments"][0]["start"]
    assert start >= 170
    tab.until(f"{HIT}.querySelector('audio').readyState >= 1")
    assert tab.until(f"{HIT}.querySelector('audio').currentTime") == start
    colours = (
        "(canvas => canvas && new Set(new Uint32Array("
        "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size)"
    )
    tab.until(f"{colours}({HIT}.querySelector('canvas')) > 3")  # nothing, the wave, what was found, the playhead
    middle = tab.run(
        f"(({{left, top, width, height}}) => [left + width / 2, top + height / 2])"
        f"({HIT}.querySelector('canvas').getBoundingClientRect())"
    )
    for kind in ("mousePressed", "mouseReleased"):
        tab.call("Input.dispatchMouseEvent", type=kind, x=middle[0], y=middle[1], button="left", clickCount=1)
    place = tab.run(f"(sound => sound.currentTime / sound.duration)({HIT}.querySelector('audio'))")
    assert place == pytest.approx(0.5, abs=0.01)


def test_a_film_plays_from_its_second(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "scenes.mp4"
    file.write_bytes(film([Scene("red", "hum", 15), Scene("green", "beats", 15), Scene("blue", "rain", 15)]))
    tab.choose("#chosen", file)
    found(tab, file.name, "a blue scene with the noise of steady rain")
    tab.until(f"{HIT}.querySelector('video').readyState >= 1")
    assert tab.until(f"{HIT}.querySelector('video').currentTime") == 30
    assert tab.run(f"{HIT}.querySelector('video').videoWidth") == 160
    assert tab.run(f"{HIT}.querySelector('.row button').ariaLabel") in (
        "play scenes.mp4 at 0:00",
        "play scenes.mp4 at 0:15",
    )
    tab.run(f"{HIT}.querySelector('.row button').click()")
    assert tab.run(f"{HIT}.querySelector('video').currentTime") < 30


def test_what_goes_wrong_is_said(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "broken.mp3").write_bytes(b"ID3" + bytes(500))
    (tmp_path / "talk.mp4.metadata.json").write_text("{}")
    tab.drop(*tmp_path.iterdir())
    assert "no such signature" in settled(tab, "broken.mp3")
    assert "aws s3 cp" in settled(tab, "talk.mp4.metadata.json")
    tab.run("document.querySelector('input[type=search]').value = 'x'.repeat(9000)")
    tab.run("document.querySelector('form').requestSubmit()")
    tab.until("/8192 characters/.test(document.getElementById('said').textContent)")
    tab.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    tab.run("document.querySelector('form').requestSubmit()")
    tab.until("/cannot be reached/.test(document.getElementById('said').textContent)")
    assert tab.run("document.querySelector('ul[aria-label=Results]').children.length") == 0
    tab.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    tab.run("1")
    tab.events = [event for event in tab.events if not _is(event, "Log.entryAdded")]  # it is told in the log as well


def test_a_dropped_folder_leaves_its_litter_behind(tab: Tab, tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    (folder / "inner").mkdir(parents=True)
    for litter in (".DS_Store", "._hum.txt", "Thumbs.db", "inner/desktop.ini", "inner/.DS_Store"):
        (folder / litter).write_bytes(b"\0")
    (folder / "inner" / "hum.txt").write_text("Somebody hums.")
    tab.drop(folder)
    settled(tab, "hum.txt")
    assert tab.run("document.getElementById('told').textContent") == "1 indexed"


def test_what_became_of_attributes_is_said(tab: Tab, user: User) -> None:
    user.drop("bees.txt", b"Bees dance.")
    user.drop("bees.txt.metadata.json", b"{}")
    user.drop("wasps.txt", b"Wasps do not.", Metadata={"start": "now", "speaker": "Ann"})
    for name, problem in {
        "bees.txt": 'bees.txt.metadata.json is not of the form {"metadataAttributes": {…}}',
        "wasps.txt": "Attributes without room, or with a name or value that filters do not take: start",
    }.items():
        file = FILE.format(name=json.dumps(name))
        assert tab.until(f"{file}?.querySelector('p')?.textContent") == problem


def test_a_long_file_that_hides_others_is_told(tab: Tab, user: User) -> None:
    user.drop("long.txt", b"The owl hoots at night in the forest. " * 20_000)
    assert user.settled("long.txt")["segment_count"] > 300
    search(tab, "an owl hoots at night in the forest")
    assert "There may be more files" in tab.run("document.getElementById('rest').textContent")
    tab.run("document.querySelector('form').requestSubmit()")
    assert not tab.run("document.getElementById('rest').textContent")  # of the search before
    tab.until("document.getElementById('rest').textContent")


def test_hundreds_of_uploads_are_told_soon_and_with_few_questions(tab: Tab, user: User, tmp_path: Path) -> None:
    files = [tmp_path / f"note-{number:03}.txt" for number in range(200)]
    for number, file in enumerate(files):
        file.write_text(f"The note of number {number}.")
    tab.run(
        "fetch = (ask => (...what) => (!what[1].body && looks.push(performance.now()), ask(...what)))(fetch),"
        "self.looks = []"
    )
    tab.choose("#chosen", *files)
    tab.until("/[0-9] uploaded, not seen yet/.test(document.getElementById('told').textContent)")
    tab.until("document.querySelectorAll('[data-status=uploading]').length === 0")
    user.until(lambda: sum("/note-" in one["key"] for one in user.assets(prefix="uploads/", status="indexed")) == 200)
    since = time.monotonic()
    tab.until("/(^| )200 indexed/.test(document.getElementById('told').textContent)")
    assert time.monotonic() - since < 15  # a row for each look would take minutes
    looks = tab.run("looks")
    assert all(later - earlier > 900 for earlier, later in zip(looks, looks[10:], strict=False))


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_lies_beyond_the_edge_of_the_window(tab: Tab, tmp_path: Path, width: int) -> None:
    file = tmp_path / f"{'a_very_long_name_' * 10}.txt"
    file.write_text("https://example.com/" + "without-a-space-in-it/" * 20 + " about walruses")
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    tab.choose("#chosen", file, MEDIA / "sunset.jpg")
    settled(tab, file.name)
    search(tab, "walruses")
    assert tab.run("document.documentElement.scrollWidth") <= width
