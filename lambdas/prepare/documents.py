"""The text of documents: Word, PowerPoint, Excel, e-mail, HTML. What is no text in them is left out."""

import email
import email.policy
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from typing import Any, BinaryIO

import docx
import openpyxl
import pptx
from docx.table import Table
from lxml.etree import HTMLParser, LxmlError

from lambdas.shared.decoding import decode
from lambdas.shared.errors import BadInputError, PermanentError, UnsupportedError
from lambdas.shared.kinds import Kind
from lambdas.shared.source import Source

DOCUMENT_BYTES = 200_000_000
UNPACKED_BYTES = 500_000_000
XML_BYTES = 100_000_000  # their tree takes eight times as much memory
MARKUP_BYTES = 50_000_000
TEXT_CHARS = 50_000_000
PIECE_CHARS = 1 << 16
_PARTS = {"word/document.xml": "docx", "ppt/presentation.xml": "pptx", "xl/workbook.xml": "xlsx"}
_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "figure", "hr"}
_LINES = {
    *("br", "div", "li", "tr", "dt", "dd", "caption", "figcaption", "section", "article", "aside", "header", "footer"),
    *("main", "nav", "address", "form", "fieldset", "option", "summary", "details"),
}
_HIDDEN = {"head", "script", "style", "template"}


def text_of(source: Source, kind: Kind) -> str:
    """The text in reading order. PermanentError where there is none, or the document cannot be read."""
    size = source.stored.size
    limit = MARKUP_BYTES if kind.name in ("html", "mail") else DOCUMENT_BYTES
    if size > limit:
        raise BadInputError(f"the document has {size:,} bytes; {limit:,} is the most")
    content = source.read(0, size)
    match kind.name:
        case "html":
            text = _html(content, source.stored.charset)
        case "mail":
            text = _mail(content)
        case _:
            text = _office(content)
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
    if sum(part.file_size for part in parts if part.filename.endswith(".xml")) > XML_BYTES:
        raise BadInputError(f"the document unpacks to more than {XML_BYTES:,} bytes of XML")
    name = next((_PARTS[part.filename] for part in parts if part.filename in _PARTS), None)
    if name is None:
        raise UnsupportedError("this is a ZIP archive, which is not supported")
    try:
        return "\n".join(_limited(_READERS[name](io.BytesIO(content))))
    except PermanentError:
        raise
    except Exception as error:  # these libraries raise whatever a broken document leads them to
        raise BadInputError(f"the document is broken: {error or type(error).__name__}") from error


def _limited(lines: Iterator[str]) -> Iterator[str]:
    """A sheet may say one text a million times."""
    left = TEXT_CHARS
    for line in lines:
        left -= len(line)
        if left < 0:
            raise BadInputError(f"the document's text has more than {TEXT_CHARS:,} characters")
        yield line


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
        texts = list(_shapes(slide.shapes))
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame:
            texts.append(slide.notes_slide.notes_text_frame.text)
        yield from _headed(f"Slide {number}", iter(texts))


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
            rows = (["" if value is None else str(value) for value in row] for row in sheet.iter_rows(values_only=True))
            yield from _headed(sheet.title, ("\t".join(cells).rstrip() for cells in rows))
    finally:
        book.close()


def _headed(title: str, lines: Iterator[str]) -> Iterator[str]:
    """Those that say something, below the title; nothing where there are none."""
    heading = f"\n[{title}]"
    for line in lines:
        if line.strip():
            yield from (heading, line) if heading else (line,)
            heading = ""


_READERS: dict[str, Callable[[BinaryIO], Iterator[str]]] = {"docx": _word, "pptx": _slides, "xlsx": _sheets}


def _html(content: bytes, charset: str | None = None) -> str:
    text = decode(content, charset)
    parser = HTMLParser(target=_Page(), encoding="utf-8")
    try:
        for start in range(0, len(text), PIECE_CHARS):
            parser.feed(text[start : start + PIECE_CHARS].encode())
        return str(parser.close())
    except (LxmlError, ValueError) as error:
        raise BadInputError(f"the page is broken: {error}") from error


class _Page:
    """Takes a page's tags and texts as they come, for its tree would take a hundred times as much memory."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._gap = ""  # the widest that is due before the next text: " " < tab < a line's end < a paragraph's
        self._hidden = 0  # how many open tags hide what is in them
        self._kept = 0  # how many keep its spaces

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        style = attributes.get("style", "")
        if self._hidden or tag in _HIDDEN or "hidden" in attributes or "display:none" in style.replace(" ", ""):
            self._hidden += 1
            return
        self._kept += tag == "pre"
        self._break(tag)
        if tag == "li":
            self._write("* ")
        elif tag == "img" and attributes.get("alt"):
            self._write(f"[{attributes['alt']}]")

    def end(self, tag: str) -> None:
        if self._hidden:
            self._hidden -= 1
            return
        self._kept -= tag == "pre"
        self._break(tag)

    def data(self, text: str) -> None:
        if self._hidden:
            return
        if self._kept:
            self._write(text)
            return
        if text[0].isspace():
            self._widen(" ")
        if words := text.split():
            self._write(" ".join(words))
            if text[-1].isspace():
                self._widen(" ")

    def close(self) -> str:
        return self._text.getvalue()

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._widen("\n\n")
        elif tag in _LINES:
            self._widen("\n")
        elif tag in ("td", "th"):
            self._widen("\t")

    def _widen(self, gap: str) -> None:
        self._gap = max(self._gap, gap, key=("", " ", "\t", "\n", "\n\n").index)

    def _write(self, text: str) -> None:
        self._text.write(self._gap + text if self._text.tell() else text)
        self._gap = ""


def _mail(content: bytes) -> str:
    try:
        return _read_mail(content)
    except PermanentError:
        raise
    except Exception as error:  # the library raises whatever a broken mail leads it to
        raise BadInputError(f"the e-mail is broken: {error or type(error).__name__}") from error


def _read_mail(content: bytes) -> str:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    lines = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
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
        if body.get_content_subtype() == "html" and text.strip():
            text = _html(text.encode(errors="replace"))
    attached = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    return "\n".join([*lines, "", text, *([f"\nAttached: {', '.join(attached)}"] if attached else [])])


def _header(message: EmailMessage, name: str) -> str:
    """As it is written where it makes no sense: senders of spam do not keep to the rules."""
    try:
        return str(message[name] or "")
    except Exception:  # as above
        return next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
