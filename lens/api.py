"""The HTTP API as Python calls; what it answers stays as it is. A refusal is a LensError with its sentence."""

from collections.abc import Generator, Iterator, Mapping
from itertools import islice
from typing import IO, Any
from urllib.parse import quote

import httpx2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lens.errors import LensError, NotThereError
from lens.stack import Stack

Json = dict[str, Any]
TIMEOUT = httpx2.Timeout(60, connect=5)
UPLOAD_TIMEOUT = httpx2.Timeout(300, connect=5)  # between two pieces, not of the whole


class Signature(httpx2.Auth):
    """AWS Signature Version 4 for API Gateway."""

    requires_request_body = True

    def __init__(self, credentials: Credentials, region: str) -> None:
        self._signer = SigV4Auth(credentials, "execute-api", region)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        signed = AWSRequest(request.method, str(request.url), data=request.content)
        self._signer.add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        yield request


class Bearer(httpx2.Auth):
    """A token, as JWT authorizers want it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        request.headers["authorization"] = f"Bearer {self._token}"
        yield request


class Api:
    """One stack's. It may be used from several threads."""

    def __init__(self, stack: Stack) -> None:
        auth = Bearer(stack.token) if stack.token else Signature(stack.credentials(), stack.region)
        self._url = stack.api_url
        self._client = httpx2.Client(auth=auth, timeout=TIMEOUT)

    def search(self, body: Json) -> Json:
        return self.call("POST", "/search", body)

    def assets(self, limit: int | None = None, **query: str | None) -> Iterator[Json]:
        """All that fit, page by page, or the first `limit`; `query` is status, prefix and modality."""
        return islice(self._assets(query), limit)

    def _assets(self, query: Mapping[str, str | None]) -> Iterator[Json]:
        asked = {name: value for name, value in query.items() if value}
        while True:
            page = self.call("GET", _with_query("/assets", asked))
            yield from page["assets"]
            if "next" not in page:
                return
            asked["next"] = page["next"]

    def asset(self, asset_id: str) -> Json:
        return self.call("GET", f"/assets/{quote(asset_id, '')}")

    def by_key(self, key: str) -> Json | None:
        """The asset of a key, as lists show it; the key itself is the first of those that begin with it."""
        found = next(self.assets(1, prefix=key), None)
        return found if found and found["key"] == key else None

    def segments(self, asset_id: str) -> Iterator[Json]:
        asked: dict[str, str] = {}
        while True:
            page = self.call("GET", _with_query(f"/assets/{quote(asset_id, '')}/segments", asked))
            yield from page["segments"]
            if "next" not in page:
                return
            asked["next"] = page["next"]

    def remove(self, asset_id: str) -> Json:
        return self.call("DELETE", f"/assets/{quote(asset_id, '')}")

    def retry(self, asset_id: str) -> Json:
        return self.call("POST", f"/assets/{quote(asset_id, '')}/reprocess")

    def retry_all(self, body: Json) -> Json:
        return self.call("POST", "/assets/reprocess", body)

    def upload(self, name: str, content: IO[bytes], purpose: str = "media") -> str:
        """The key, once S3 has taken the file; it is read piece by piece."""
        form = self.call("POST", "/uploads", {"name": name, "purpose": purpose})
        try:
            answer = httpx2.post(form["url"], data=form["fields"], files={"file": content}, timeout=UPLOAD_TIMEOUT)
        except httpx2.HTTPError as error:
            raise LensError(f"{name} was not taken: the connection to S3 broke ({error}).") from error
        if answer.is_error:
            raise LensError(f"{name} was not taken: S3 answered {answer.status_code}, {_s3_message(answer.text)}.")
        return str(form["key"])

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """One request; `path` has its query with it."""
        try:
            answer = self._client.request(method, f"{self._url}{path}", json=body)
        except httpx2.ConnectError as error:
            raise LensError(f"Nothing answers at {self._url}: is it running?") from error
        except httpx2.TimeoutException as error:
            raise LensError(f"{self._url} did not answer within {TIMEOUT.read:.0f} seconds: try again.") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise LensError(f"{self._url} can't be asked: {error}.") from error
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise LensError(f"{self._url} is no Bucketlens: it answered {answer.status_code} without JSON.")
        if answer.is_error:
            raise _refusal(answer.status_code, found)
        return found


def _with_query(path: str, query: Mapping[str, str]) -> str:
    """Encoded as signatures want it: a space is %20."""
    return path + ("?" + "&".join(f"{name}={quote(value, '')}" for name, value in query.items()) if query else "")


def _refusal(status: int, answer: Mapping[str, Any]) -> LensError:
    error = answer.get("error")
    if not isinstance(error, dict):  # API Gateway's own
        hint = ": these credentials or this token may not" if status in (401, 403) else ""
        return LensError(f"The API answered {status} {answer.get('message', '')}{hint}.")
    sentence = ": ".join(filter(None, [error.get("field"), error["message"]]))
    if status >= 500:
        sentence += f" ({answer.get('request_id')})"
    return NotThereError(f"{sentence}.") if status == 404 else LensError(f"{sentence}.")


def _s3_message(text: str) -> str:
    return text.partition("<Message>")[2].partition("</Message>")[0] or "without a reason"
