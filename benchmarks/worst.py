"""The worst inputs that the functions take, made in seconds: what is large in them is one block, again and again."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import docx
import numpy as np
import openpyxl
import pillow_heif
import pypdfium2
from PIL import Image

from lambdas.ingest import ingest, pictures
from lambdas.prepare import documents, prepare
from lambdas.shared import nova

SEED = 7
FILM_SECONDS = 5 * nova.MEDIA_SEGMENTS - 2  # at five seconds a segment, the most segments there are
GROUP_SECONDS = 2  # between key frames
SOUND_RATE = 44_100
WAV_HEADER = struct.Struct("<4sI8sIHHIIHH4sI")
_FILLER = 12  # a NAL unit that decoders pass over (H.264, 7.4.1)
_TIFF_DEFLATE = 8
_TO_NOISE = (  # what nothing points to is not read
    b'<Relationship Id="noise" Target="media/noise.bin" '
    b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"/>'
    b'<Relationship Id="zeros" Target="media/zeros.bin" '
    b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"/></Relationships>'
)
_LARGEST_PAGE = 14_400  # points (ISO 32000-1, annex C)


# -- pictures -------------------------------------------------------------------------------------------------------


def _side(pixels: int) -> int:
    """Of a square; even, as video codecs want it."""
    return int(pixels**0.5) // 2 * 2


def png(path: Path) -> None:
    """Turned by a quarter and see-through, so that it must be made anew with an alpha channel."""
    side = _side(pictures.PIXELS)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGBA", (side, side), (10, 200, 30, 120)).save(path, "PNG", compress_level=1, exif=turned)


def webp(path: Path) -> None:
    side = _side(pictures.WEBP_PIXELS)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGBA", (side, side), (10, 200, 30, 120)).save(path, "WEBP", lossless=True, quality=0, exif=turned)


def heic(path: Path) -> None:
    side = _side(pictures.PIXELS)
    pillow_heif.register_heif_opener()
    Image.new("RGB", (side, side), (10, 200, 30)).save(path, "HEIF", enc_params={"preset": "ultrafast"})


def tiff(path: Path) -> None:
    """Sixteen bits for each of red, green, blue and alpha, in one strip; padded to the size of the largest file."""
    side = _side(pictures.PIXELS)
    row = struct.pack("<4H", 1000, 20_000, 60_000, 40_000) * side
    packer = zlib.compressobj(1)
    strip = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    tags = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 4, 150),  # bits, after the tags
        (259, 3, 1, _TIFF_DEFLATE),
        (262, 3, 1, 2),  # RGB
        (273, 4, 1, 158),
        (277, 3, 1, 4),
        (278, 4, 1, side),
        (279, 4, 1, len(strip)),
        (284, 3, 1, 1),
        (338, 3, 1, 2),  # the fourth is alpha
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    with path.open("wb") as file:
        file.write(head.ljust(150, b"\0") + struct.pack("<4H", 16, 16, 16, 16) + strip)
        _pad(file, ingest.IMAGE_BYTES)


def bmp(path: Path) -> None:
    """As large a file as is taken, nothing in it packed."""
    width = 8_000
    height = (ingest.IMAGE_BYTES - 54) // (3 * width)
    size = 54 + 3 * width * height
    with path.open("wb") as file:
        file.write(struct.pack("<2sIIIIIIHHIIIIII", b"BM", size, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0))
        _repeat(file, _noise(3 * width * 100), size)


# -- texts and documents --------------------------------------------------------------------------------------------


def text(path: Path) -> None:
    """Its one emoji makes every character take four bytes of memory; its line ends are to be replaced."""
    with path.open("wb") as file:
        file.write("😀\r\n".encode())
        _repeat(file, b"some words of a text\r\n" * 1000, ingest.TEXT_BYTES)


def html(path: Path) -> None:
    """Nothing but tags: a table of short cells that nobody closes."""
    with path.open("wb") as file:
        file.write(b"<html><body><table>")
        _repeat(file, b"<tr><td>a<td>b\n" * 1000, documents.MARKUP_BYTES)


def mail(path: Path) -> None:
    """Short lines, for they are what its reader keeps."""
    with path.open("wb") as file:
        file.write(b"From: a@example.org\r\nSubject: all of it\r\n\r\n")
        _repeat(file, b"ab\r\n" * 1000, documents.MARKUP_BYTES)


def word(path: Path) -> None:
    """As much XML as is taken, and pictures that fill the file."""
    content = io.BytesIO()
    document = docx.Document()
    document.add_paragraph("HERE")
    document.save(content)
    _pack(path, content, "word/document.xml", b"HERE", b"</w:t></w:r></w:p><w:p><w:r><w:t>some words")


def excel(path: Path) -> None:
    content = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.title = "HERE"
    book.save(content)
    row = b"<row>" + b"<c><v>1</v></c>" * 20 + b"</row>"
    _pack(path, content, "xl/worksheets/sheet1.xml", b"<sheetData/>", row, b"<sheetData>", b"</sheetData>")


def _pack(
    path: Path, content: io.BytesIO, name: str, mark: bytes, block: bytes, start: bytes = b"", end: bytes = b""
) -> None:
    """The document with blocks in the place of the mark in one of its parts, and noise beside them."""
    with zipfile.ZipFile(content) as given, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for part in given.infolist():
            xml = given.read(part).replace(b'<dimension ref="A1:A1"/>', b"").replace(b"<sheetData></sheetData>", mark)
            xml = xml.replace(b"</Relationships>", _TO_NOISE) if "document.xml.rels" in part.filename else xml
            xml = xml.replace(b"<Default ", b'<Default Extension="bin" ContentType="image/png"/><Default ', 1)
            if part.filename != name:
                made.writestr(part, xml)
                continue
            before, after = xml.split(mark)
            with made.open(name, "w") as file:
                file.write(before + start)
                left = documents.XML_BYTES - 10_000 - sum(one.file_size for one in given.infolist())
                for _ in range(left // len(block * 1000)):
                    file.write(block * 1000)
                file.write(end + after)
        folder = name.partition("/")[0]
        made.writestr(f"{folder}/media/zeros.bin", bytes(200_000_000))
        assert made.fp
        noise = _noise(1_000_000) * ((documents.DOCUMENT_BYTES - made.fp.tell()) // 1_000_000 - 1)
        made.writestr(zipfile.ZipInfo(f"{folder}/media/noise.bin"), noise)


def pdf(path: Path) -> None:
    """As many pages as are taken, tiny ones: what is measured is not how they are rendered."""
    document = pypdfium2.PdfDocument.new()
    for _ in range(prepare.MOST_PAGES):
        document.new_page(20, 20).close()
    document.save(path)
    document.close()


def scan(path: Path) -> None:
    """A range of pages of the largest size, each a picture of more pixels than any scanner gives."""
    side = 11_000
    picture = io.BytesIO()
    Image.new("RGB", (side, side), (10, 200, 30)).save(picture, "JPEG", quality=90, progressive=True, subsampling=0)
    document = pypdfium2.PdfDocument.new()
    for _ in range(prepare.PAGES_A_RANGE):
        page = document.new_page(_LARGEST_PAGE, _LARGEST_PAGE)
        image = pypdfium2.PdfImage.new(document)
        image.load_jpeg(io.BytesIO(picture.getvalue()), inline=True)
        image.set_matrix(pypdfium2.PdfMatrix().scale(_LARGEST_PAGE, _LARGEST_PAGE))
        page.insert_obj(image)
        page.gen_content()
        page.close()
    document.save(path)
    document.close()


# -- sounds and films -----------------------------------------------------------------------------------------------


def flac(path: Path) -> None:
    """Two hours of FLAC in Matroska, where packets may be repeated; the model takes neither."""
    minute = io.BytesIO()
    frame = av.AudioFrame.from_ndarray(_samples(60), format="s16", layout="stereo")
    frame.sample_rate = SOUND_RATE
    with av.open(minute, "w", format="flac") as output:
        stream = output.add_stream("flac", rate=SOUND_RATE, layout="stereo")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    _repeat_packets(path, "matroska", minute, 60, nova.MEDIA_SECONDS // 60, 0)


def wav(path: Path) -> None:
    """The largest that the model takes as it is."""
    size = nova.AUDIO_BYTES - 44
    size -= size % 4
    head = WAV_HEADER.pack(
        *(b"RIFF", size + 36, b"WAVEfmt ", 16, 1, 2, SOUND_RATE, SOUND_RATE * 4, 4, 16, b"data", size)
    )
    with path.open("wb") as file:
        file.write(head)
        _repeat(file, _samples(10).tobytes(), 44 + size)


def film(path: Path) -> None:
    """Pictures of 4K whose key frames lie all over the largest file there may be."""
    group = io.BytesIO()
    with av.open(group, "w", format="matroska") as output:
        pictures_ = output.add_stream("libx264", rate=Fraction(1, 1), options={"preset": "ultrafast", "crf": "40"})
        pictures_.width, pictures_.height, pictures_.pix_fmt = 3840, 2160, "yuv420p"
        sound = output.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        for second in range(GROUP_SECONDS):
            noise = Image.effect_noise((120, 68), 90).resize((3840, 2160)).convert("RGB")
            picture = av.VideoFrame.from_ndarray(np.asarray(noise), format="rgb24")
            picture.pts, picture.time_base = second, Fraction(1)
            output.mux(pictures_.encode(picture))
        heard = av.AudioFrame.from_ndarray(_samples(GROUP_SECONDS), format="s16", layout="stereo")
        heard.sample_rate, heard.pts = SOUND_RATE, 0
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE)
        for part in resampler.resample(heard):
            output.mux(sound.encode(part))
        output.mux(pictures_.encode(None))
        output.mux(sound.encode(None))
    times = FILM_SECONDS // GROUP_SECONDS
    room = prepare.FILM_BYTES // times - len(group.getvalue()) - 2_000
    _repeat_packets(path, "mp4", group, GROUP_SECONDS, times, max(0, room))


def _repeat_packets(path: Path, container: str, once: io.BytesIO, seconds: int, times: int, room: int) -> None:
    """The medium so many times one after another; `room` is what each of its key frames takes besides itself."""
    filler = struct.pack(">IB", room, _FILLER) + b"\xff" * (room - 1) if room else b""
    once.seek(0)
    with av.open(once, "r") as given, av.open(str(path), "w", format=container) as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in given.streams}
        packets: list[Any] = [packet for packet in given.demux() if packet.size]
        last: dict[int, int] = {}
        for number in range(times):
            for packet in packets:
                pts = (packet.pts or 0) + int(number * seconds / packet.time_base)
                if pts <= last.get(packet.stream.index, -1):
                    continue  # what an encoder of sound begins early
                last[packet.stream.index] = pts
                is_key = packet.stream.type == "video" and packet.is_keyframe
                copy: Any = av.Packet(bytes(packet) + (filler if is_key else b""))
                copy.pts = copy.dts = pts
                copy.time_base, copy.duration, copy.is_keyframe = packet.time_base, packet.duration, packet.is_keyframe
                copy.stream = streams[packet.stream.index]
                output.mux(copy)


# -- blocks ---------------------------------------------------------------------------------------------------------


def _samples(seconds: int) -> Any:
    return np.random.default_rng(SEED).integers(-2000, 2000, (1, 2 * SOUND_RATE * seconds)).astype(np.int16)


def _noise(size: int) -> bytes:
    return np.random.default_rng(SEED).bytes(size)


def _repeat(file: Any, block: bytes, size: int) -> None:
    """Until the file has that size."""
    for piece in _pieces(block, size - file.tell()):
        file.write(piece)


def _pieces(block: bytes, size: int) -> Iterator[bytes]:
    while size > 0:
        yield block[:size]
        size -= len(block)


def _pad(file: Any, size: int) -> None:
    """With a hole, which takes no disk."""
    file.flush()
    os.truncate(file.fileno(), size)
