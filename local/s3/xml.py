"""S3's XML: elements as (name, text or children), in the order S3 sends them."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from local.wire import AwsError

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
Element = tuple[str, "str | int | bool | list[Element] | None"]
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|\r")


def document(root: str, content: list[Element] | str) -> bytes:
    inner = escape(content) if isinstance(content, str) else "".join(_render(child) for child in content)
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{inner}</{root}>'
    return text.encode()


def _render(element: Element) -> str:
    name, content = element
    if content is None:
        return ""
    if isinstance(content, list):
        return f"<{name}>{''.join(_render(child) for child in content)}</{name}>"
    if isinstance(content, bool):
        content = "true" if content else "false"
    return f"<{name}>{_text(str(content))}</{name}>"


def _text(value: str) -> str:
    """Control characters as references, as S3 sends them (a client asks for `encoding-type=url` to be safe)."""
    return _UNPRINTABLE.sub(lambda found: f"&#x{ord(found[0]):x};", escape(value))


def parse(body: bytes, root: str) -> ElementTree.Element:
    """The document's root, names freed of the namespace; `MalformedXML` unless it is a `root`."""
    try:
        top = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError) as error:
        raise malformed() from error
    for element in top.iter():
        element.tag = element.tag.rpartition("}")[2]
    if top.tag != root:
        raise malformed()
    return top


def text_of(element: ElementTree.Element, name: str) -> str | None:
    found = element.find(name)
    return None if found is None else found.text or ""


def required(element: ElementTree.Element, name: str) -> str:
    text = text_of(element, name)
    if text is None:
        raise malformed()
    return text


def reject_others(element: ElementTree.Element, known: Iterable[str]) -> None:
    for child in element:
        if child.tag not in known:
            raise AwsError("NotImplemented", f"The laptop does not offer {child.tag}", 501)


def malformed() -> AwsError:
    message = "The XML you provided was not well-formed or did not validate against our published schema"
    return AwsError("MalformedXML", message)


def timestamp(seconds: float) -> str:
    """A time as S3's XML carries it: whole seconds, three zeros."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
