"""The agents function: the Model Context Protocol at `/mcp`, stateless, a JSON answer for each message.

It has no rights to data. What a tool needs it asks of the search function, in the name of its own caller: whoever that
is may see here what they may see there, and nothing else.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl

import httpx2
import orjson
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError
from mangum import Mangum
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import Field

from lambdas.agents.tools import ADDS, FETCH_SECONDS, Server, server_of
from lambdas.shared import clients
from lambdas.shared.settings import AgentsSettings

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

logger = Logger()
CONTENT_BYTES = 3_000_000  # of a file in a call: a request to Lambda is 6 MB at most
# The SDK guards servers that listen on loopback against pages of other origins; here API Gateway has let the caller in.
BEHIND_THE_GATEWAY = TransportSecuritySettings(enable_dns_rebinding_protection=False)


@cache
def settings() -> AgentsSettings:
    return AgentsSettings.from_env()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway's HTTP API, payload 2.0. There is no stream to open with GET and no session to end with DELETE."""
    if event["requestContext"]["http"]["method"] != "POST":
        return {"statusCode": 405, "headers": {"allow": "POST"}}
    server = serving(SearchFunction(clients.functions(), settings().search_function, event))
    app = server.streamable_http_app(
        stateless_http=True, json_response=True, transport_security=BEHIND_THE_GATEWAY
    )  # of its own for each message: it begins and ends with the application's lifespan
    answer: dict[str, Any] = Mangum(app)(event, context)  # type: ignore[arg-type]  # two descriptions of one object
    return answer


@dataclass(frozen=True)
class SearchFunction:
    """The search function, invoked as API Gateway would have done it for the caller of `event`."""

    client: "LambdaClient"
    name: str
    event: Mapping[str, Any]

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self.client.invoke(
                FunctionName=self.name, Payload=orjson.dumps(self._event(method, path, body or {}))
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "TooManyRequestsException":
                raise ToolError("too many searches at once, try again") from error
            raise
        result = orjson.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise RuntimeError(f"the search function failed: {result}")
        content: dict[str, Any] = orjson.loads(result["body"])
        if result["statusCode"] >= 400:
            error = content["error"]
            raise ToolError(": ".join(filter(None, [error.get("field"), error["message"]])))
        return content

    def _event(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        raw_path, _, query = path.partition("?")
        context = self.event["requestContext"]
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": raw_path,
            "rawQueryString": query,
            "headers": {"content-type": "application/json"},
            "queryStringParameters": dict(parse_qsl(query)),
            "requestContext": {**context, "http": {**context["http"], "method": method, "path": raw_path}},
            "body": orjson.dumps(body).decode() if body else None,
            "isBase64Encoded": False,
        }


def serving(api: SearchFunction) -> Server:
    """All tools, for one caller."""
    server = server_of(api)

    @server.tool(title="Add a file", annotations=ADDS)
    def add_file(
        name: Annotated[str, Field(description="of the file, with its ending, such as talk.mp3")],
        content: Annotated[
            str | None, Field(description=f"in base64, if it has at most {CONTENT_BYTES / 1e6:.0f} MB")
        ] = None,
    ) -> dict[str, Any]:
        """Add a file, so that it can be searched. With `content` it is stored now, under the `key` of the answer.
        Without, the answer is a form that is good for an hour: whoever has the file sends it to `url` as
        multipart/form-data, the `fields` first and last the content as `file`. `list_assets` with that key as prefix
        tells when it is indexed."""
        found = _decoded(content) if content is not None else None
        form = api.call("POST", "/uploads", {"name": name})
        if found is None:
            return form
        sent = httpx2.post(form["url"], data=form["fields"], files={"file": found}, timeout=FETCH_SECONDS)
        if sent.is_error:
            raise ToolError(f"S3 did not take the file: it answered {sent.status_code}")
        return {"key": form["key"], "status": "received"}

    return server


def _decoded(content: str) -> bytes:
    try:
        found = base64.b64decode(content, validate=True)
    except ValueError as error:
        raise ToolError("content: this is no base64") from error
    if len(found) > CONTENT_BYTES:
        raise ToolError(
            f"content: more than {CONTENT_BYTES / 1e6:.0f} MB; leave it out, and send the file with the form that "
            "is then the answer"
        )
    return found
