"""Films, sounds and pictures of every kind."""

import io
import json
import random
import urllib.request

import pytest
from PIL import Image

from tests.unit.films import CODECS, Scene, film
from tests.unit.media import encode, picture, tone
from tests.user import User

SCENES = [Scene("red", "hum", 15), Scene("checks", "beats", 15), Scene("blue", "alarm", 15)]


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:
        content: bytes = response.read()
    return content


@pytest.mark.parametrize("name", CODECS)
def test_a_short_film_of_every_container_is_one_segment_with_its_frame(user: User, name: str) -> None:
    asset = user.dropped(f"short.{name}", film([Scene("red", "hum", 4)], name))
    assert (asset["status"], asset["modality"], asset["segment_count"]) == ("indexed", "video", 1), asset
    details = user.call("GET", f"/assets/{asset['asset_id']}").body
    assert details["duration"] == pytest.approx(4, abs=0.5)
    frame = Image.open(io.BytesIO(fetched(details["thumbnail"]))).convert("RGB")
    red, green, _ = frame.getpixel((frame.width // 2, frame.height // 2))  # type: ignore[misc]
    assert red > 150 > green


@pytest.mark.parametrize("with_sound", [True, False])
def test_a_film_is_found_at_the_second_with_or_without_sound(user: User, with_sound: bool) -> None:
    key = f"long-{with_sound}.mp4"
    asset = user.dropped(key, film(SCENES, "mp4", with_sound=with_sound))
    assert (asset["status"], asset["segment_count"]) == ("indexed", 3), asset
    hit = next(hit for hit in user.search("black and white checkered board", modalities=["video"]) if hit["key"] == key)
    segment = hit["segments"][0]
    assert (segment["start"], segment["end"]) == (15, 30) and hit["url"].endswith("#t=15,30")
    assert len(fetched(segment["thumbnail"])) > 300


SOUNDS = {"flac": ("flac", "flac"), "m4a": ("mp4", "aac"), "aac": ("adts", "aac"), "aiff": ("aiff", "pcm_s16be")}


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_that_nova_does_not_take_is_converted(user: User, name: str) -> None:
    container, codec = SOUNDS[name]
    asset = user.dropped(f"tone.{name}", encode(tone(5, 44_100), 44_100, container, codec))
    assert (asset["status"], asset["modality"], asset["segment_count"]) == ("indexed", "audio", 1), asset
    details = user.call("GET", f"/assets/{asset['asset_id']}").body
    assert details["duration"] == pytest.approx(5, abs=0.2)
    peaks = fetched(details["peaks"])
    assert len(peaks) == pytest.approx(50, abs=2) and min(peaks[2:-3]) > 20


@pytest.mark.parametrize("name", ["flac", "aiff"])
def test_a_sound_that_was_cut_off_is_not_taken_for_a_short_one(user: User, name: str) -> None:
    container, codec = SOUNDS[name]
    whole = encode(tone(20, 44_100), 44_100, container, codec)
    asset = user.dropped(f"cut.{name}", whole[: len(whole) // 2])
    assert asset["status"] == "failed" and "cut off" in asset["reason"], asset


def test_a_long_sound_that_is_converted_is_cut_into_segments(user: User) -> None:
    asset = user.dropped("long.flac", encode(tone(40, 16_000), 16_000, "flac", "flac"))
    assert (asset["status"], asset["segment_count"]) == ("indexed", 3), asset


@pytest.mark.parametrize("name", ["tiff", "bmp", "avif", "gif", "webp"])
def test_a_picture_of_every_kind_has_a_thumbnail(user: User, name: str) -> None:
    asset = user.dropped(f"red.{name}", picture(name, (900, 600)))
    assert (asset["status"], asset["modality"], asset["segment_count"]) == ("indexed", "image", 1), asset
    details = user.call("GET", f"/assets/{asset['asset_id']}").body
    small = Image.open(io.BytesIO(fetched(details["thumbnail"])))
    assert small.format == "JPEG" and small.size == (320, 213)


def test_a_picture_lies_as_it_was_taken(user: User) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    out = io.BytesIO()
    Image.new("RGB", (900, 600), "red").save(out, "JPEG", exif=turned)
    asset = user.dropped("turned.jpg", out.getvalue())
    assert asset["status"] == "indexed"
    details = user.call("GET", f"/assets/{asset['asset_id']}").body
    assert Image.open(io.BytesIO(fetched(details["thumbnail"]))).size == (213, 320)


def prepare_puts(user: User) -> int:
    """How many objects the function itself has put."""
    with urllib.request.urlopen(
        f"{user.outputs['AwsEndpointUrl']}/_local/calls?service=s3&operation=PutObject"
    ) as answer:
        calls = json.load(answer)["calls"]
    return sum(one["count"] for one in calls if "Prepare" in one["caller"] and "Role" not in one["caller"])


def test_what_waits_for_room_is_opened_once_and_has_not_failed(user: User) -> None:
    rule = {"fault": "throttle", "service": "bedrock-runtime", "operation": "StartAsyncInvoke", "next": 2}
    url = f"{user.outputs['AwsEndpointUrl']}/_local/faults"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(rule).encode(), method="POST")).close()
    before = prepare_puts(user)
    user.drop("waits.flac", encode(tone(40, 16_000), 16_000, "flac", "flac"))
    seen: set[str] = set()

    def look() -> bool:
        asset = user.asset("waits.flac")
        seen.add(asset["status"] if asset else "")
        return "indexed" in seen

    user.until(look)
    assert "waiting" in seen and "failed" not in seen
    assert prepare_puts(user) == before + 2  # the peaks and the MP3


def test_a_picture_that_would_be_converted_to_more_than_the_model_takes_is_made_smaller(user: User) -> None:
    noise = Image.frombytes("RGBA", (3600, 3600), random.Random(7).randbytes(4 * 3600 * 3600))
    out = io.BytesIO()
    noise.save(out, "TIFF")
    asset = user.dropped("noise.tiff", out.getvalue())
    assert asset["status"] == "indexed", asset


def test_two_sounds_that_were_joined_are_one(user: User) -> None:
    """The second has another rate."""
    joined = encode(tone(4, 44_100), 44_100, "mp3") + encode(tone(4, 22_050), 22_050, "mp3")
    asset = user.dropped("joined.mp3", joined)
    assert (asset["status"], asset["modality"]) == ("indexed", "audio"), asset
