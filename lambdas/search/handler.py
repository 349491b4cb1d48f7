"""The search function: HTTP in, JSON out. Errors are `{"error": {"code", "message", "field"?}, "request_id"}`."""

import base64
import binascii
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any

import orjson
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Query as QueryParam
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError, HTTPClientError
from pydantic import BaseModel

from lambdas.search.answers import (
    Asked,
    Asset,
    AssetDetails,
    AssetPage,
    ErrorAnswer,
    HeatAnswer,
    Reconciled,
    SearchAnswer,
    SegmentPage,
    Upload,
)
from lambdas.search.caller import Caller, read_caller
from lambdas.search.embeddings import Embeddings
from lambdas.search.errors import RequestError
from lambdas.search.heat import HeatMap
from lambdas.search.hits import Hits
from lambdas.search.links import Links
from lambdas.search.listing import Listing, SegmentDetails
from lambdas.search.orders import Orders
from lambdas.search.requests import HeatRequest, Modality, ReprocessRequest, SearchRequest, UploadRequest
from lambdas.search.search import Search
from lambdas.search.uploads import Uploads
from lambdas.shared import clients
from lambdas.shared.catalog import Catalog
from lambdas.shared.errors import BadInputError, OverloadedError, RefusedError, ThrottledError
from lambdas.shared.records import Status
from lambdas.shared.reports import Reports
from lambdas.shared.settings import SearchSettings
from lambdas.shared.table import Table
from lambdas.shared.vectors import Stores, stores_of

logger = Logger()
app = APIGatewayHttpResolver(enable_validation=True, serializer=lambda body: orjson.dumps(body).decode())
app.configure_openapi(title="Bucketlens", version="0.1.0", description="Search inside the files of a bucket.")
RETRY_AFTER = {"Retry-After": "2"}  # seconds
ERRORS: dict[int, OpenAPIResponse] = {
    status: {"description": text, "content": {"application/json": {"model": ErrorAnswer}}}
    for status, text in {
        400: "the body is no JSON",
        403: "the token does not say whose files it is for, or the order is for callers who see all files",
        404: "there is nothing of that name",
        409: "the index cannot answer this yet",
        422: "the request makes no sense; `field` is the path of what is wrong",
        429: "too many requests at once; `Retry-After` says when to try again",
        503: "Bedrock or another service did not answer in time; `Retry-After` says when to try again",
    }.items()
}
ERRORS[429]["headers"] = ERRORS[503]["headers"] = {
    "Retry-After": {"description": "seconds", "schema": {"type": "integer"}}
}
# DynamoDB developer guide, "Error handling with DynamoDB"; other services' are told by who calls them
THROTTLES = ("ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException")


def answers(model: type[BaseModel], text: str, status: int = 200) -> dict[int, OpenAPIResponse]:
    """The documented answers of a route: its own, and the errors, which are all of one shape."""
    return {status: {"description": text, "content": {"application/json": {"model": model}}}, **ERRORS}


@cache
def settings() -> SearchSettings:
    return SearchSettings.from_env()


@cache
def catalog() -> Catalog:
    return Catalog(clients.dynamodb(), settings().catalog_table)


@cache
def links() -> Links:
    return Links(clients.s3(), settings().media_bucket, settings().output_bucket)


@cache
def stores() -> Stores:
    return stores_of(clients.s3vectors_for_search(), settings().vector_bucket_arn, settings().profiles)


@cache
def embeddings() -> Embeddings:
    return Embeddings(
        settings().profiles,
        clients.bedrock_for_search(),
        stores(),
        catalog(),
        clients.s3(),
        query_bucket=settings().output_bucket,
    )


@cache
def search() -> Search:
    return Search(settings().profiles, embeddings(), stores(), catalog(), Hits(stores(), links()))


@cache
def heat_map() -> HeatMap:
    return HeatMap(settings().profiles, embeddings(), stores(), catalog())


@cache
def listing() -> Listing:
    return Listing(catalog(), stores(), links())


@cache
def orders() -> Orders:
    return Orders(
        catalog(),
        clients.s3(),
        clients.sqs(),
        settings().media_bucket,
        ingest_queue_url=settings().ingest_queue_url,
        reports=Reports(Table(clients.dynamodb(), settings().catalog_table)),
    )


@cache
def uploads() -> Uploads:
    return Uploads(clients.s3(), settings().media_bucket, settings().output_bucket)


def caller() -> Caller:
    """Whoever asks just now."""
    found: Caller = app.context["caller"]
    return found


@app.post(
    "/search",
    summary="Find the parts of files that a sentence, a picture, a sound, a film or a part of another file describes",
    responses=answers(SearchAnswer, "the best first"),
)
def post_search(request: SearchRequest) -> SearchAnswer:
    return search().answer(caller(), request)


@app.get("/assets", summary="List assets in the order of their keys", responses=answers(AssetPage, "one page"))
def get_assets(
    status: Annotated[Status | None, QueryParam()] = None,
    prefix: Annotated[str, QueryParam()] = "",
    modality: Annotated[Modality | None, QueryParam()] = None,
    next: Annotated[str | None, QueryParam()] = None,
) -> AssetPage:
    return listing().page(caller(), status, modality, prefix, next)


@app.get(
    "/assets/<asset_id>",
    summary="One asset, and which of its parts failed",
    responses=answers(AssetDetails, "the asset"),
)
def get_asset(asset_id: str) -> AssetDetails:
    return listing().details(caller(), asset_id)


@app.get(
    "/assets/<asset_id>/segments",
    summary="The segments of one asset, those that failed among them",
    responses=answers(SegmentPage, "one page"),
)
def get_segments(asset_id: str, next: Annotated[str | None, QueryParam()] = None) -> SegmentPage:
    return listing().segments(caller(), asset_id, next)


@app.get(
    "/assets/<asset_id>/segments/<embedding_type>/<number>",
    summary="One segment by its `segment_id`, with links that open and show it",
    responses=answers(SegmentDetails, "the segment"),
)
def get_segment(asset_id: str, embedding_type: str, number: str) -> SegmentDetails:
    return listing().segment(caller(), asset_id, embedding_type, number)


@app.post(
    "/assets/<asset_id>/heat",
    summary="How near every segment of one asset is to a query, in order",
    responses=answers(HeatAnswer, "every segment with its similarity"),
)
def post_heat(asset_id: str, request: HeatRequest) -> HeatAnswer:
    return heat_map().answer(caller(), asset_id, request)


@app.post(
    "/assets/<asset_id>/reprocess",
    summary="Embed and index one asset once more",
    responses=answers(Asset, "another attempt will be made, if the object is there; the asset as it is now", 202),
)
def post_reprocess(asset_id: str) -> Response[Asset]:
    return Response(202, content_type="application/json", body=orders().reprocess(caller(), asset_id))


@app.post(
    "/assets/reprocess",
    summary="Embed and index many assets once more: under a prefix, with a status, or what failed since a time",
    responses=answers(Asked, "they will be, one after the other; what was asked for", 202),
)
def post_reprocess_all(request: ReprocessRequest) -> Response[Asked]:
    return Response(202, content_type="application/json", body=orders().reprocess_all(caller(), request))


@app.post(
    "/assets/reconcile",
    summary="Hold bucket, catalog and index against each other, and mend what differs",
    responses=answers(Reconciled, "it will be done, or is being done already", 202),
)
def post_reconcile() -> Response[Reconciled]:
    return Response(202, content_type="application/json", body=orders().reconcile(caller()))


@app.get(
    "/assets/reconcile", summary="What the last pass read and found", responses=answers(Reconciled, "the last pass")
)
def get_reconcile() -> Reconciled:
    return orders().reconciled(caller())


@app.delete(
    "/assets/<asset_id>",
    summary="Delete one asset's object, whereupon it is found no more",
    responses=answers(Asset, "it will be deleted; the asset as it is now", 202),
)
def delete_asset(asset_id: str) -> Response[Asset]:
    return Response(202, content_type="application/json", body=orders().delete(caller(), asset_id))


@app.post(
    "/uploads",
    summary="Be allowed to put one file into the media bucket, or one to search with",
    responses=answers(Upload, "a form for S3"),
)
def post_upload(request: UploadRequest) -> Upload:
    return uploads().allow(caller(), request)


@app.get("/openapi.json", include_in_schema=False)
def get_openapi() -> Response[str]:
    return Response(200, content_type="application/json", body=app.get_openapi_json_schema())


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway's HTTP API, payload 2.0."""
    try:
        app.context["caller"] = read_caller(event, settings().owners)
        event = with_json_body(event)
    except RequestError as error:
        return respond_early(error, context.aws_request_id)
    return app.resolve(event, context)


def with_json_body(event: dict[str, Any]) -> dict[str, Any]:
    """Take what parses as JSON as JSON, whatever the content type says (`curl -d` sends a form's)."""
    if not event.get("body"):
        return event
    try:
        raw = base64.b64decode(event["body"]) if event.get("isBase64Encoded") else event["body"].encode()
        orjson.loads(raw)
        body = raw.decode()
    except (binascii.Error, orjson.JSONDecodeError, UnicodeDecodeError) as error:
        raise RequestError("the body is not JSON in UTF-8", code="invalid_json", status=400) from error
    headers = {**(event.get("headers") or {}), "content-type": "application/json"}
    return {**event, "body": body, "isBase64Encoded": False, "headers": headers}


# -- errors, mapped once ------------------------------------------------------------------------------------------


def error_body(request_id: str, code: str, message: str, field: str | None = None) -> str:
    error = {"code": code, "message": message} | ({"field": field} if field else {})
    return orjson.dumps({"error": error, "request_id": request_id}).decode()


def respond(status: int, code: str, message: str, field: str | None = None, **headers: str) -> Response[str]:
    request_id = app.current_event.request_context.request_id
    body = error_body(request_id, code, message, field)
    return Response(status, content_type="application/json", body=body, headers=dict(headers))


def respond_early(error: RequestError, request_id: str) -> dict[str, Any]:
    body = error_body(request_id, error.code, error.message, error.field)
    return {"statusCode": error.status, "headers": {"content-type": "application/json"}, "body": body}


@app.exception_handler(RequestError)  # type: ignore[untyped-decorator]
def on_request_error(error: RequestError) -> Response[str]:
    return respond(error.status, error.code, error.message, error.field)


@app.exception_handler(RequestValidationError)  # type: ignore[untyped-decorator]
def on_validation_error(error: RequestValidationError) -> Response[str]:
    first = error.errors()[0]
    return respond(422, "invalid_request", first["msg"], field_path(first["loc"]))


@app.exception_handler(BadInputError)  # type: ignore[untyped-decorator]
def on_bad_input(error: BadInputError) -> Response[str]:
    return respond(422, "invalid_request", str(error), "query")


@app.exception_handler(RefusedError)  # type: ignore[untyped-decorator]
def on_refused(error: RefusedError) -> Response[str]:
    return respond(422, "invalid_request", f"the index refuses this query: {error}", "filter")


@app.exception_handler(ClientError)  # type: ignore[untyped-decorator]
def on_client_error(error: ClientError) -> Response[str]:
    is_throttle = error.response["Error"]["Code"] in THROTTLES
    answer: Response[str] = on_throttled(error) if is_throttle else on_anything(error)
    return answer


@app.exception_handler([ThrottledError, OverloadedError])  # type: ignore[untyped-decorator]
def on_throttled(error: Exception) -> Response[str]:
    return respond(429, "throttled", "too many searches at once, try again", **RETRY_AFTER)


@app.exception_handler(HTTPClientError)  # type: ignore[untyped-decorator]
def on_no_answer(error: HTTPClientError) -> Response[str]:
    logger.warning("a service did not answer in time", exc_info=error)
    return respond(503, "unavailable", "a service behind the search did not answer in time, try again", **RETRY_AFTER)


@app.exception_handler(ServiceError)  # type: ignore[untyped-decorator]
def on_service_error(error: ServiceError) -> Response[str]:
    return respond(error.status_code, HTTPStatus(error.status_code).name.lower(), str(error.msg))


@app.not_found
def on_not_found(_: Exception) -> Response[str]:
    path = app.current_event.path
    return respond(404, "not_found", f"there is nothing at {app.current_event.http_method} {path}")


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def on_anything(error: Exception) -> Response[str]:
    logger.exception("a request failed", exc_info=error)
    return respond(500, "internal", "something went wrong here; the request id finds it in the log")


def field_path(place: Sequence[str | int]) -> str:
    """`("body", "filter", "$and", 1)` as `filter.$and[1]`."""
    path = ""
    for part in place[1:]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".")
