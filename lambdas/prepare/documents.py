"""The text of documents: Word, PowerPoint, Excel, e-mail, HTML. What is no text in them is left out."""

import email
import email.policy
import io
import zipfile
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any, BinaryIO

import docx
import openpyxl
import pptx
from docx.table import Table
from inscriptis import get_text
from inscriptis.model.config import ParserConfig
from lxml.etree import LxmlError, ParserError

from lambdas.shared.decoding import decode
from lambdas.shared.errors import BadInputError, PermanentError, UnsupportedError
from lambdas.shared.kinds import Kind
from lambdas.shared.source import Source

DOCUMENT_BYTES = 200_000_000
UNPACKED_BYTES = 1_000_000_000
MARKUP_BYTES = 50_000_000
_PARTS = {"word/document.xml": "docx", "ppt/presentation.xml": "pptx", "xl/workbook.xml": "xlsx"}
_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def text_of(source: Source, kind: Kind) -> str:
    """The text in reading order. PermanentError where there is none, or the document cannot be read."""
    size = source.stored.size
    limit = MARKUP_BYTES if kind.name in ("html", "mail") else DOCUMENT_BYTES
    if size > limit:
        raise BadInputError(f"the document has {size:,} bytes; {limit:,} is the most")
    content = source.read(0, size)
    text = _html(content) if kind.name == "html" else _mail(content) if kind.name == "mail" else _office(content)
    text = "\n".join(line.rstrip() for line in text.splitlines()).strip()
    if not text:
        raise BadInputError("the document holds no text")
    return text


def _office(content: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise BadInputError("the document is broken: its archive cannot be read") from error
    if sum(part.file_size for part in parts) > UNPACKED_BYTES:
        raise BadInputError(f"the document unpacks to more than {UNPACKED_BYTES:,} bytes")
    name = next((_PARTS[part.filename] for part in parts if part.filename in _PARTS), None)
    if name is None:
        raise UnsupportedError("this is a ZIP archive, which is not supported")
    try:
        return "\n".join(_READERS[name](io.BytesIO(content)))
    except PermanentError:
        raise
    except Exception as error:  # these libraries raise whatever a broken document leads them to
        raise BadInputError(f"the document is broken: {error or type(error).__name__}") from error


def _word(file: BinaryIO) -> Iterator[str]:
    document = docx.Document(file)
    for section in document.sections[:1]:
        yield from (paragraph.text for paragraph in section.header.paragraphs)
    yield from _blocks(document.iter_inner_content())
    for section in document.sections[:1]:
        yield from (paragraph.text for paragraph in section.footer.paragraphs)


def _blocks(blocks: Iterator[Any]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Table):
            for row in block.rows:
                yield "\t".join(_once(cell.text for cell in row.cells))
        else:
            yield block.text


def _once(cells: Iterator[str]) -> Iterator[str]:
    """A merged cell is told once for each of its columns."""
    before: str | None = None
    for cell in cells:
        if cell != before:
            yield cell.replace("\n", " ")
        before = cell


def _slides(file: BinaryIO) -> Iterator[str]:
    for number, slide in enumerate(pptx.Presentation(file).slides, 1):
        yield f"\n[Slide {number}]"
        yield from _shapes(slide.shapes)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame:
            yield slide.notes_slide.notes_text_frame.text


def _shapes(shapes: Any) -> Iterator[str]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        if getattr(shape, "has_table", False):
            for row in shape.table.rows:
                yield "\t".join(cell.text for cell in row.cells)
        elif shape.has_text_frame:
            yield shape.text_frame.text


def _sheets(file: BinaryIO) -> Iterator[str]:
    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    try:
        for sheet in book.worksheets:
            yield f"\n[{sheet.title}]"
            for row in sheet.iter_rows(values_only=True):
                cells = ["" if value is None else str(value) for value in row]
                if any(cells):
                    yield "\t".join(cells).rstrip()
    finally:
        book.close()


_READERS: dict[str, Callable[[BinaryIO], Iterator[str]]] = {"docx": _word, "pptx": _slides, "xlsx": _sheets}


def _html(content: bytes) -> str:
    try:
        return str(get_text(decode(content), ParserConfig(display_images=True)))
    except (LxmlError, ParserError, ValueError) as error:
        raise BadInputError(f"the page is broken: {error}") from error


def _mail(content: bytes) -> str:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    lines = [f"{name}: {message[name]}" for name in _HEADERS if message[name]]
    body = message.get_body(("plain", "html"))
    if not lines:
        raise BadInputError(f"this is no e-mail: it has none of the headers {', '.join(_HEADERS)}")
    text = ""
    if body is not None:
        try:
            text = str(body.get_content())
        except (LookupError, UnicodeDecodeError):
            payload: Any = body.get_payload(decode=True)
            text = decode(payload)
        if body.get_content_subtype() == "html":
            text = _html(text.encode())
    attached = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    return "\n".join([*lines, "", text, *([f"\nAttached: {', '.join(attached)}"] if attached else [])])
