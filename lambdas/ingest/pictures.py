"""Pictures: made upright, of a kind and size that the model takes, and a thumbnail of each."""

import io
import struct
from typing import BinaryIO, NamedTuple

import pillow_heif
from PIL import Image, ImageOps

from lambdas.shared.errors import BadInputError
from lambdas.shared.nova import IMAGE_BYTES

NATIVE = ("jpeg", "png", "gif", "webp")
PIXELS = 120_000_000
WEBP_PIXELS = 80_000_000  # its decoder keeps two pictures more
LONGEST_SIDE = 4_000  # of what is converted: more than any model looks at
THUMBNAIL_PIXELS = 320
QUALITY = 90
BROKEN = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, KeyError, struct.error)  # what decoders raise
_ORIENTATION = 0x0112  # Exif 2.32, 4.6.4
_UPRIGHT = (None, 0, 1)

pillow_heif.register_heif_opener()
Image.MAX_IMAGE_PIXELS = None  # told by PIXELS, in words


class Picture(NamedTuple):
    """`converted` is None where the file may go to the model as it is; else a picture in that format."""

    media_format: str
    converted: bytes | None
    thumbnail: bytes


def look(file: BinaryIO, media_format: str, fits: bool) -> Picture:
    """A picture whose signature says that format; `fits` where it is no larger than the model takes.

    BadInputError where it is broken, cut off, or so large that showing it would take more memory than there is.
    """
    try:
        with Image.open(file) as picture:
            width, height = picture.size
            most = WEBP_PIXELS if picture.format == "WEBP" else PIXELS
            if width * height > most:
                raise BadInputError(f"the picture has {width * height:,} pixels; {most:,} is the most")
            orientation = picture.getexif().get(_ORIENTATION)
            if media_format in NATIVE and fits and orientation in _UPRIGHT:
                picture.draft("RGB", (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))  # JPEG alone: decodes at a fraction
                return Picture(media_format, None, _thumbnail(picture))
            shown = _eight_bits(picture)
            if max(shown.size) > LONGEST_SIDE:
                shown.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            shown.getexif()[_ORIENTATION] = orientation or 1
            ImageOps.exif_transpose(shown, in_place=True)  # once it is small, for it makes a copy
            media_format, converted = _converted(shown)
            while len(converted) > IMAGE_BYTES:  # so much noise: half as long, a quarter of the size
                shown.thumbnail((max(shown.size) // 2, max(shown.size) // 2))
                media_format, converted = _converted(shown)
            return Picture(media_format, converted, _thumbnail(shown))
    except BROKEN as error:
        raise BadInputError(f"the picture is broken: {error}") from error


def _converted(picture: Image.Image) -> tuple[str, bytes]:
    """PNG where something shines through, else JPEG."""
    content = io.BytesIO()
    if picture.has_transparency_data:
        picture.convert("RGBA").save(content, "PNG")
        return "png", content.getvalue()
    picture.convert("RGB").save(content, "JPEG", quality=QUALITY)
    return "jpeg", content.getvalue()


def _thumbnail(picture: Image.Image) -> bytes:
    """Of the picture, which is that small from then on."""
    content = io.BytesIO()
    small = _eight_bits(picture)
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    if small.has_transparency_data:
        shown = small.convert("RGBA")
        small = Image.new("RGB", small.size, "white")
        small.paste(shown, mask=shown)
    small.convert("RGB").save(content, "JPEG", quality=80)
    return content.getvalue()


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of sixteen bits and more (I;16, I, F) from its darkest to its lightest, for Pillow would cut it off."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    wide = picture.convert("I").convert("F") if picture.mode.startswith("I;") else picture.convert("F")
    low, high = (float(value) for value in wide.getextrema())  # type: ignore[arg-type]  # one band
    scale = 255 / (high - low) if high > low else 1.0
    return wide.point(lambda value: value * scale - low * scale).convert("L")
