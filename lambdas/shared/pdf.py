"""PDF documents through PDFium."""

from collections.abc import Iterator
from contextlib import contextmanager

import pypdfium2

from lambdas.shared.errors import BadInputError
from lambdas.shared.source import Source

_PASSWORD = 4  # FPDF_ERR_PASSWORD
_SECURITY = 5


@contextmanager
def open_pdf(source: Source) -> Iterator[pypdfium2.PdfDocument]:
    """A document with at least one page, read as it is needed. BadInputError where it cannot be opened."""
    file = source.open()
    try:
        document = pypdfium2.PdfDocument(file.buffered())
    except pypdfium2.PdfiumError as error:
        if file.error:
            raise file.error from error
        if getattr(error, "err_code", None) in (_PASSWORD, _SECURITY):
            raise BadInputError("the document is encrypted, and there is no password for it") from error
        raise BadInputError("the document is broken: it is no PDF that can be read") from error
    try:
        if len(document) == 0:
            raise BadInputError("the document has no pages")
        yield document
        if file.error:  # PDFium shows what it could not read as if it were not there
            raise file.error
    except Exception:
        if file.error:  # PDFium takes what could not be read for what is broken
            raise file.error from None
        raise
    finally:
        document.close()
