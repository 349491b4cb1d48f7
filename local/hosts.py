"""Buckets in the name of a host."""

import re

_VIRTUAL_HOST = re.compile(r"(?P<bucket>.+?)(\.s3([.-][a-z0-9-]+)?)?\.(localhost|amazonaws\.com)", re.IGNORECASE)
_SERVICE_HOST = re.compile(r"s3([.-][a-z0-9-]+)?\.(localhost|amazonaws\.com)", re.IGNORECASE)


def bucket_of_host(host: str) -> str:
    """Of a virtual-hosted request, empty for another."""
    name = host.partition(":")[0]
    found = _VIRTUAL_HOST.fullmatch(name)
    return found["bucket"] if found and not _SERVICE_HOST.fullmatch(name) else ""
