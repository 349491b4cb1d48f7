"""GetObjectTagging, PutObjectTagging, DeleteObjectTagging, and the XML they share with POST forms."""

from werkzeug.wrappers import Response

from local.s3.attributes import checked_tags
from local.s3.body import read_document
from local.s3.call import Call, empty, xml_response
from local.s3.versions import NULL, Version, Versions
from local.s3.xml import Element, parse, required
from local.state import State


class Tagging:
    def __init__(self, state: State, versions: Versions) -> None:
        self._state = state
        self._versions = versions

    def get(self, call: Call) -> Response:
        version = self._versions.get(call.bucket, call.key, call.version)
        tags = version.attributes.tags.items()
        tag_set: list[Element] = [("Tag", [("Key", key), ("Value", value)]) for key, value in tags]
        return xml_response("Tagging", [("TagSet", tag_set)], _version_header(version))

    def put(self, call: Call) -> Response:
        return self._set(call, read_tagging(read_document(call)), 200)

    def delete(self, call: Call) -> Response:
        return self._set(call, {}, 204)

    def _set(self, call: Call, tags: dict[str, str], status: int) -> Response:
        with self._state.transaction():
            version = self._versions.get(call.bucket, call.key, call.version, call.request.method)
            if tags or version.attributes.tags:
                self._versions.set_tags(version, tags, call.origin("ObjectTagging"))
        return empty(status, _version_header(version))


def read_tagging(document: bytes) -> dict[str, str]:
    tags = parse(document, "Tagging").findall("TagSet/Tag")
    return checked_tags([(required(tag, "Key"), required(tag, "Value")) for tag in tags])


def _version_header(version: Version) -> dict[str, str]:
    return {} if version.id == NULL else {"x-amz-version-id": version.id}
