"""Documents made in memory."""

import ctypes
import io
from collections.abc import Sequence

import docx
import openpyxl
import pptx
import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

LETTER = (612, 792)  # points


def scan(*pages: Image.Image) -> bytes:
    """A PDF of pictures, without a text layer."""
    out = io.BytesIO()
    first, *others = (page.convert("RGB") for page in pages)
    first.save(out, "PDF", save_all=True, append_images=others)
    return out.getvalue()


def printed(*pages: str) -> bytes:
    """A PDF with a text layer, a line of the page for a line of the text."""
    document = pypdfium2.PdfDocument.new()
    for text in pages:
        page = document.new_page(*LETTER)
        for number, line in enumerate(text.splitlines()):
            written = pdfium.FPDFPageObj_NewTextObj(document.raw, b"Helvetica", 14)
            letters = (line + "\0").encode("utf-16-le")
            pdfium.FPDFText_SetText(written, _wide(letters))
            pdfium.FPDFPageObj_Transform(written, 1, 0, 0, 1, 72, LETTER[1] - 72 - 20 * number)
            pdfium.FPDFPage_InsertObject(page.raw, written)
        pdfium.FPDFPage_GenerateContent(page.raw)
    out = io.BytesIO()
    document.save(out)
    document.close()
    return out.getvalue()


def _wide(letters: bytes) -> object:
    return ctypes.cast(ctypes.create_string_buffer(letters), ctypes.POINTER(pdfium.FPDF_WCHAR))


def word(title: str, paragraphs: Sequence[str], table: Sequence[Sequence[str]] = ()) -> bytes:
    document = docx.Document()
    document.add_heading(title)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    if table:
        cells = document.add_table(len(table), len(table[0]))
        for row, values in enumerate(table):
            for column, value in enumerate(values):
                cells.cell(row, column).text = value
    return _saved(document)


def slides(*texts: tuple[str, str, str]) -> bytes:
    """A slide of each title, body and notes."""
    deck = pptx.Presentation()
    for title, body, notes in texts:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
        slide.notes_slide.notes_text_frame.text = notes
    return _saved(deck)


def sheet(name: str, *rows: Sequence[object]) -> bytes:
    book = openpyxl.Workbook()
    book.active.title = name
    for row in rows:
        book.active.append(list(row))
    return _saved(book)


def _saved(document: object) -> bytes:
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]  # all three have it
    return out.getvalue()
