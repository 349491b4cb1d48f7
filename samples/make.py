"""Makes the sample files in `samples/media`: `python -m samples.make`.

They are committed, so that only whoever changes them needs espeak-ng and sox (with MP3 and Ogg).
"""

import ctypes
import math
import subprocess
import tempfile
from pathlib import Path

import av
import numpy as np
import pptx
import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image, ImageDraw, ImageFilter, ImageFont

MEDIA = Path(__file__).parent / "media"
MP3 = ["-C", "48", "-r", "22050", "-c", "1"]

CALL = [
    "Good morning, you have reached customer support.",
    "I would like a refund for my broken coffee machine.",
    "It stopped working after two days and I am really unhappy.",
    "I understand. We will send the money back to your account this week.",
]
LECTURE = [
    "Welcome to the evening lecture about volcanoes.",
    "Magma rises through the crust when pressure becomes too high.",
    "The ash of an eruption can travel around the whole planet.",
    "Thank you for listening, and good night.",
]


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


def speak(lines: list[str], voice: str, target: Path) -> list[tuple[float, str]]:
    """Speak the lines one after the other into a WAV; where each begins, in seconds."""
    begins: list[tuple[float, str]] = []
    parts, at = [], 0.0
    for number, line in enumerate(lines):
        part = target.with_suffix(f".{number}.wav")
        run("espeak-ng", "-v", voice, "-s", "150", "-w", part, line)
        begins.append((at, line))
        at += float(subprocess.check_output(["soxi", "-D", str(part)]))
        parts.append(part)
    run("sox", *parts, "-r", "22050", "-c", "1", target)
    return begins


def lyrics_tag(begins: list[tuple[float, str]]) -> bytes:
    """An ID3v2.3 tag with the words in a USLT frame, each line timed as `[mm:ss.xx]` (id3.org, ID3v2.3 §4.9)."""
    text = "\n".join(f"[{int(at // 60):02d}:{at % 60:05.2f}]{line}" for at, line in begins)
    body = b"\x00eng\x00" + text.encode("latin-1")
    frame = b"USLT" + len(body).to_bytes(4, "big") + b"\x00\x00" + body
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + frame


def spoken(name: str, lines: list[str], voice: str, work: Path) -> None:
    """A spoken MP3 that carries its own words."""
    wav = work / "spoken.wav"
    begins = speak(lines, voice, wav)
    bare = work / "bare.mp3"
    run("sox", wav, *MP3, bare)
    (MEDIA / name).write_bytes(lyrics_tag(begins) + bare.read_bytes())


def sounds(work: Path) -> None:
    run(
        "sox",
        "-n",
        *MP3,
        MEDIA / "alarm.mp3",
        "synth",
        "0.25",
        "square",
        "2900",
        "gain",
        "-3",
        "pad",
        "0",
        "0.2",
        "repeat",
        "25",
    )
    run(
        "sox",
        "-n",
        "-r",
        "22050",
        "-c",
        "1",
        MEDIA / "rain.ogg",
        "synth",
        "14",
        "pinknoise",
        "lowpass",
        "6000",
        "gain",
        "-12",
    )
    run("sox", "-n", "-r", "8000", "-c", "1", "-b", "16", MEDIA / "empty-room.wav", "trim", "0", "6")
    notes = ["C4", "E4", "G4", "C5", "G4", "E4", "F4", "A4", "C5", "A4", "G4", "B4", "D5", "B4", "G4", "C4"]
    parts = []
    for number, note in enumerate(notes):
        part = work / f"note{number}.wav"
        run("sox", "-n", "-r", "22050", "-c", "1", part, "synth", "0.6", "pluck", note, "gain", "-6")
        parts.append(part)
    melody = work / "melody.wav"
    run("sox", *parts, melody)
    run("sox", melody, MEDIA / "guitar.ogg", "repeat", "1")
    long_recording(work)


def long_recording(work: Path) -> None:
    """Four and a half minutes: somebody lectures, then drums beat, then an engine hums."""
    lecture, talk, beat = work / "lecture.wav", work / "talk.wav", work / "beat.wav"
    drums, engine = work / "drums.wav", work / "engine.wav"
    spoken_once = speak(LECTURE, "en-gb", lecture)
    length = float(subprocess.check_output(["soxi", "-D", str(lecture)]))
    times = 6
    run("sox", lecture, talk, "repeat", str(times - 1), "gain", "-6")
    run(
        "sox",
        "-n",
        "-r",
        "22050",
        "-c",
        "1",
        beat,
        "synth",
        "0.12",
        "whitenoise",
        "fade",
        "0",
        "0.12",
        "0.11",
        "pad",
        "0",
        "0.28",
    )
    run("sox", beat, drums, "repeat", "224")
    run(
        "sox",
        "-n",
        "-r",
        "22050",
        "-c",
        "1",
        engine,
        "synth",
        "75",
        "sine",
        "80",
        "gain",
        "-4",
    )
    bare = work / "evening.mp3"
    run("sox", talk, drums, engine, "-C", "24", "-r", "16000", "-c", "1", bare)
    words = [(at + length * number, line) for number in range(times) for at, line in spoken_once]
    (MEDIA / "evening.mp3").write_bytes(lyrics_tag(words) + bare.read_bytes())


def gradient(size: tuple[int, int], colours: list[tuple[int, int, int]]) -> Image.Image:
    """From the first colour at the top to the last at the bottom."""
    column = Image.new("RGB", (1, len(colours)))
    column.putdata(colours)
    return column.resize(size, Image.Resampling.BICUBIC)


def pictures() -> None:
    sunset = gradient((640, 420), [(120, 20, 40), (220, 60, 20), (255, 140, 20), (250, 90, 30), (130, 30, 30)])
    ImageDraw.Draw(sunset).ellipse((250, 150, 390, 290), fill=(255, 190, 60))
    sunset.save(MEDIA / "sunset.jpg", quality=85)

    forest = gradient((420, 640), [(60, 130, 60), (30, 100, 40), (20, 80, 30), (15, 60, 20)])
    draw = ImageDraw.Draw(forest)
    for number in range(60):
        x, height = number * 73 % 420, 200 + number * 37 % 260
        draw.polygon(
            [(x, 640 - height), (x - 40, 640), (x + 40, 640)], fill=(10 + number % 30, 70 + number * 7 % 80, 30)
        )
    forest.save(MEDIA / "forest.png", optimize=True)

    night = gradient((600, 400), [(2, 2, 12), (5, 5, 25), (8, 8, 30)])
    draw = ImageDraw.Draw(night)
    for number in range(40):
        x, y = number * 149 % 600, number * 83 % 300
        draw.ellipse((x, y, x + 2, y + 2), fill=(220, 220, 200))
    night.filter(ImageFilter.GaussianBlur(0.6)).save(MEDIA / "night.webp", quality=85)

    board = Image.new("RGB", (480, 480), "white")
    draw = ImageDraw.Draw(board)
    for row in range(8):
        for column in range(8):
            if (row + column) % 2:
                draw.rectangle((column * 60, row * 60, column * 60 + 59, row * 60 + 59), fill="black")
    board.save(MEDIA / "chessboard.png", optimize=True)


FILM = [("curtain", 110.0), ("wheat", 330.0), ("sea", 60.0)]  # twenty seconds each, and what hums with them
FILM_SIZE, FILM_RATE, SOUND_RATE = (320, 240), 10, 22_050


def scene(name: str, second: float) -> Image.Image:
    """What the film shows at that second of a scene."""
    if name == "curtain":
        picture = Image.new("RGB", FILM_SIZE, (170, 20, 30))
        draw = ImageDraw.Draw(picture)
        for fold in range(0, 360, 40):
            left = fold + 6 * math.sin(second + fold)
            draw.rectangle((left, 0, left + 14, FILM_SIZE[1]), fill=(120, 10, 20))
    elif name == "wheat":
        picture = gradient(FILM_SIZE, [(250, 225, 90), (245, 210, 60), (225, 180, 40)])
        draw = ImageDraw.Draw(picture)
        for stalk in range(0, 320, 8):
            draw.line((stalk, 240, stalk + 10 * math.sin(second * 2 + stalk), 120), fill=(200, 150, 30), width=2)
    else:
        picture = gradient(FILM_SIZE, [(20, 70, 190), (10, 40, 150), (5, 20, 100)])
        draw = ImageDraw.Draw(picture)
        for bubble in range(12):
            x, y = bubble * 53 % 320, (bubble * 97 - 30 * second) % 260
            draw.ellipse((x, y, x + 6, y + 6), outline=(120, 170, 240))
    return picture


def film() -> None:
    """A minute in three scenes: a red curtain, yellow wheat, the blue sea; something hums throughout."""
    with av.open(str(MEDIA / "three-scenes.mp4"), "w", options={"movflags": "faststart"}) as output:
        pictures = output.add_stream("libx264", rate=FILM_RATE, options={"crf": "30", "preset": "slow", "g": "50"})
        pictures.width, pictures.height = FILM_SIZE
        pictures.pix_fmt = "yuv420p"
        sounds = output.add_stream("aac", rate=SOUND_RATE, layout="mono", bit_rate=32_000)
        for number, (name, hertz) in enumerate(FILM):
            for count in range(20 * FILM_RATE):
                frame = av.VideoFrame.from_image(scene(name, count / FILM_RATE))
                frame.pts = number * 20 * FILM_RATE + count
                output.mux(pictures.encode(frame))
            times = np.arange(20 * SOUND_RATE) / SOUND_RATE
            wave = (0.2 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)
            for start in range(0, len(wave), 1024):
                heard = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
                heard.sample_rate, heard.pts = SOUND_RATE, number * len(wave) + start
                output.mux(sounds.encode(heard))
        for stream in (pictures, sounds):
            output.mux(stream.encode(None))


LEASE = [
    [
        "Lease of a house by the lake",
        "",
        "The tenant pays the rent on the first day of each month.",
        "Pets are welcome.",
    ],
    ["Plan of the garden", "", "Green is lawn, blue is water."],
    ["Signatures", "", "Done in two copies."],
]


def page(lines: list[str]) -> Image.Image:
    """A sheet of paper with printed lines."""
    sheet = Image.new("RGB", (850, 1100), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=28)
    for number, line in enumerate(lines):
        draw.text((90, 100 + 44 * number), line, fill="black", font=font)
    return sheet


def scan() -> None:
    """A letter, a chart and a receipt as a scanner gives them: pictures of pages, no text layer."""
    letter = page(["Dear neighbour,", "", "the chart on the next page shows", "what our garden gave this year."])
    chart = page(["Harvest"])
    draw = ImageDraw.Draw(chart)
    for number, height in enumerate((300, 520, 410, 640)):
        left = 110 + 170 * number
        draw.rectangle((left, 1000 - height, left + 130, 1000), fill=(130, 30, 160) if number % 2 else (230, 120, 20))
    receipt = page(["Receipt", "", "seeds     12.40", "spade     31.00", "total     43.40"])
    first, *others = (one.filter(ImageFilter.GaussianBlur(0.6)) for one in (letter, chart, receipt))
    first.save(MEDIA / "harvest-scan.pdf", "PDF", resolution=100, save_all=True, append_images=others)


def lease() -> None:
    """A contract with a text layer, and a plan on its second page."""
    document = pypdfium2.PdfDocument.new()
    for number, lines in enumerate(LEASE):
        sheet = document.new_page(612, 792)
        for row, line in enumerate(lines):
            text = pdfium.FPDFPageObj_NewTextObj(document.raw, b"Helvetica", 16)
            letters = ctypes.create_string_buffer((line + "\0").encode("utf-16-le"))
            pdfium.FPDFText_SetText(text, ctypes.cast(letters, ctypes.POINTER(pdfium.FPDF_WCHAR)))
            pdfium.FPDFPageObj_Transform(text, 1, 0, 0, 1, 72, 700 - 24 * row)
            pdfium.FPDFPage_InsertObject(sheet.raw, text)
        if number == 1:
            for left, colour in ((72, (40, 150, 60)), (306, (40, 90, 200))):
                box = pdfium.FPDFPageObj_CreateNewRect(left, 100, 234, 480)
                pdfium.FPDFPageObj_SetFillColor(box, *colour, 255)
                pdfium.FPDFPath_SetDrawMode(box, pdfium.FPDF_FILLMODE_WINDING, False)
                pdfium.FPDFPage_InsertObject(sheet.raw, box)
        pdfium.FPDFPage_GenerateContent(sheet.raw)
    document.save(MEDIA / "lease.pdf")
    document.close()


def deck() -> None:
    """Slides with notes."""
    slides = [
        ("Bicycle workshop", "What we repaired this year", "Welcome everybody, and thank you for the cake."),
        ("Punctures and chains", "Most punctures come from broken glass", "Show how to oil a rusty bicycle chain."),
        ("Next year", "We look for a larger garage", "Ask for volunteers."),
    ]
    file = pptx.Presentation()
    for title, body, notes in slides:
        slide = file.slides.add_slide(file.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
        slide.notes_slide.notes_text_frame.text = notes
    file.save(str(MEDIA / "bicycle-workshop.pptx"))


def main() -> None:
    MEDIA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        spoken("support-call.mp3", CALL, "en-us", work)
        sounds(work)
    pictures()
    film()
    scan()
    lease()
    deck()
    total = sum(file.stat().st_size for file in MEDIA.iterdir())
    print(f"{len(list(MEDIA.iterdir()))} files, {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
