"""Pages of a PDF to pictures and to vectors."""

import io
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pypdfium2

from lambdas.shared import results
from lambdas.shared.assets import Work, head_object
from lambdas.shared.budget import Budget
from lambdas.shared.catalog import Catalog
from lambdas.shared.derived import Derived
from lambdas.shared.errors import PermanentError, SupersededError, ThrottledError
from lambdas.shared.metadata import PASSAGE_CHARS
from lambdas.shared.nova import Embedding, Nova
from lambdas.shared.pdf import open_pdf
from lambdas.shared.profiles import Profile
from lambdas.shared.settings import PagesSettings
from lambdas.shared.source import Source

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_s3 import S3Client

POINTS_AN_INCH = 72
JPEG_QUALITY = 85
AT_ONCE = 4
WAITS = (1, 2, 4)  # seconds; what must wait longer waits in the state machine, which is not paid for waiting


class Page(NamedTuple):
    """`number` counts from 1; `picture` is a PNG or JPEG, whichever is smaller."""

    number: int
    picture: bytes
    picture_format: str
    text: str


@dataclass(frozen=True)
class Pages:
    """The clients of one function; `embed` is its step."""

    settings: PagesSettings
    s3: "S3Client"
    bedrock: "BedrockRuntimeClient"
    budget: Budget
    catalog: Catalog
    derived: Derived

    def embed(self, work: Work, first: int, last: int) -> int:
        """Render and embed a range of pages, and write the result; how many could be embedded.

        ThrottledError where Bedrock has no room for all of them: what it embedded is written, and not asked for again.
        """
        head = self.catalog.head(work.asset_id)
        stored = head_object(self.s3, self.settings.media_bucket, head.key) if head and head.work == work else None
        profile = self.settings.profiles.of(head.profile) if head else None
        if head is None or stored is None or profile is None or stored.content(profile) != head.content:
            raise SupersededError(f"{work.name} is not wanted any more")
        model = Nova(self.bedrock, profile, self.budget)
        place = self.settings.output_bucket, results.pages_key(work, first)
        lines = results.read_numbered(self.s3, *place)
        missing = [number for number in range(first, last + 1) if number - 1 not in lines]
        self.catalog.open_derived(work)
        try:
            with open_pdf(Source(self.s3, stored)) as pdf, ThreadPoolExecutor(AT_ONCE) as pool:
                pages = _rendered(pdf, missing, profile)
                found = list(pool.map(lambda page: self._embed(work, model, page), pages))
        finally:
            self.catalog.release(work)
        lines |= {number - 1: line for number, line in zip(missing, found, strict=True) if line}
        if any(found):
            results.write_lines(self.s3, *place, (line for _, line in sorted(lines.items())))
        if not all(found):
            raise ThrottledError(f"Bedrock has no room for {found.count(None)} of the pages {first}-{last}")
        return sum(b'"SUCCESS"' in line[-20:] for line in lines.values())

    def _embed(self, work: Work, model: Nova, page: "Page | Broken") -> bytes | None:
        """Its line of the result, or None where Bedrock has no room for it."""
        place = {"page": page.number}
        if isinstance(page, Broken):
            return results.failed_line(page.number - 1, page.reason, place)
        uri = self.derived.put(work, f"page-{page.number}", page.picture, f"image/{page.picture_format}")
        try:
            embedding = _patiently(lambda: model.embed_page(page.picture_format, uri))
        except PermanentError as error:
            return results.failed_line(page.number - 1, str(error), place)
        except ThrottledError:
            return None
        return results.line(page.number - 1, embedding.values, {**place, "text": page.text})


def _patiently(embed: Callable[[], Embedding]) -> Embedding:
    """Bedrock may have no room for a moment."""
    for seconds in pauses():
        try:
            return embed()
        except ThrottledError:
            time.sleep(seconds)
    return embed()


def pauses() -> Iterator[float]:
    """Seconds before each further try."""
    return (seconds * random.uniform(0.5, 1) for seconds in WAITS)


class Broken(NamedTuple):
    """A page that cannot be shown, and why."""

    number: int
    reason: str


def _rendered(pdf: pypdfium2.PdfDocument, numbers: Iterable[int], profile: Profile) -> Iterator[Page | Broken]:
    for number in numbers:
        try:
            yield render(pdf, number, profile.page_dpi, profile.page_pixels)
        except pypdfium2.PdfiumError as error:
            yield Broken(number, f"the page cannot be shown: {error}")


def render(pdf: pypdfium2.PdfDocument, number: int, dpi: int, pixels: int) -> Page:
    """A page as a picture of that resolution, no longer than `pixels`, with its text. PdfiumError if it is broken."""
    page = pdf[number - 1]
    try:
        scale = min(dpi / POINTS_AN_INCH, pixels / max(1.0, *page.get_size()))
        picture = page.render(scale=scale).to_pil().convert("RGB")
        texts = page.get_textpage()
        try:
            text = " ".join(texts.get_text_bounded().split())
        finally:
            texts.close()
    finally:
        page.close()
    png, jpeg = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG")
    picture.save(jpeg, "JPEG", quality=JPEG_QUALITY)
    smaller, name = (png, "png") if png.tell() <= jpeg.tell() else (jpeg, "jpeg")
    return Page(number, smaller.getvalue(), name, text[:PASSAGE_CHARS])
