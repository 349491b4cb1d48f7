"""Amazon Bedrock's APIs: InvokeModel at once, asynchronous invocations and batch inference in the background."""

import collections
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson
from botocore.exceptions import BotoCoreError, ClientError
from werkzeug.wrappers import Request, Response

from local import clock
from local.bedrock import listing, nova, objects, shapes
from local.bedrock.batch_jobs import BatchJobs, Emit
from local.bedrock.batch_runner import BatchRunner
from local.bedrock.catalog import MODELS, Catalog
from local.bedrock.control import Control
from local.bedrock.invoke import invoke
from local.bedrock.jobs import Job, Jobs, Page, job_uri, new_id
from local.bedrock.model import BackgroundModel, Model
from local.bedrock.runner import JobRunner
from local.bedrock.tags import Tags
from local.clients import REGION, Clients
from local.faults import Faults
from local.state import State
from local.wire import AwsError, Caller, MayTake, answer_json, anybody, json_response, read_json

MAX_BODY_BYTES = 25_000_000
_JSON_TYPES = {"", "application/json", "application/octet-stream"}  # the second is what boto3 sends for bytes


@dataclass(frozen=True)
class BedrockSettings:
    """`job_seconds` is the least time a job takes; `model` the module that stands in for the models.

    `requests_per_minute` counts InvokeModel and StartAsyncInvoke together, for each model by itself;
    `max_batch_jobs` are unfinished ones, for each model too. `batch_min_records` is a batch job's least input.
    """

    job_seconds: float = 0.5
    max_concurrent_jobs: int = 30
    requests_per_minute: int = 2000
    max_batch_jobs: int = 20
    batch_min_records: int = 100
    workers: int = 2
    model: str = "local.standin"


class Bedrock:
    """Signing name `bedrock`. Jobs run, and unfinished ones go on, once `ready` is set; without it at once."""

    def __init__(
        self,
        state: State,
        clients: Clients,
        emit: Emit,
        settings: BedrockSettings | None = None,
        region: str = REGION,
        faults: Faults | None = None,
        ready: threading.Event | None = None,
        may_take: MayTake = anybody,
    ) -> None:
        if ready is None:
            ready = threading.Event()
            ready.set()
        settings = settings or BedrockSettings()
        self._state = state
        self._clients = clients
        self._scratch = state.folder / "bedrock"
        shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed process left
        self._scratch.mkdir(parents=True)
        self._catalog = Catalog(region)
        self._quotas = {model.id: _Quota(settings.requests_per_minute) for model in MODELS}
        self._jobs = Jobs(state, region, settings.max_concurrent_jobs)
        self._tags = Tags(state)
        self._model = Model(settings.model, settings.workers, state.folder / "bedrock-model.log")
        threads = max(1, settings.workers - 1)
        faults = faults or Faults()
        self._runner = JobRunner(
            self._jobs, self._model, clients, self._scratch, settings.job_seconds, threads, faults, ready
        )
        batch_jobs = BatchJobs(state, emit, region, settings.max_batch_jobs)
        self._batch_runner = BatchRunner(
            batch_jobs,
            BackgroundModel(self._model),
            clients,
            state.folder / "bedrock-batch",
            self._scratch,
            settings.job_seconds,
            settings.batch_min_records,
            faults,
            ready,
        )
        self._control = Control(state, self._catalog, self._jobs, batch_jobs, self._batch_runner, self._tags, may_take)

    def __call__(self, request: Request, caller: Caller) -> Response:
        return answer_json(lambda: self._with_s3(request, caller), _error)

    def warm(self) -> None:
        """Have the model loaded, beside everything else: Bedrock's is when the first question comes."""
        threading.Thread(target=self._model.load, daemon=True).start()

    def stop(self) -> None:
        self._batch_runner.interrupt()
        self._runner.stop()
        self._batch_runner.join()

    def _with_s3(self, request: Request, caller: Caller) -> Mapping[str, Any]:
        """An answer that needed S3, and S3 failed, is a failure of the service; the caller may try again."""
        try:
            return self._answer(request, caller)
        except (BotoCoreError, ClientError) as error:
            raise AwsError("InternalServerException", f"S3 failed: {error}", 500) from error

    def _answer(self, request: Request, caller: Caller) -> Mapping[str, Any]:
        path = _path(request)
        match [request.method, *path]:
            case ["POST", "model", model_id, "invoke"]:
                return self._invoke(model_id, request, caller)
            case ["POST", "async-invoke"]:
                return self._start(read_json(request), caller)
            case ["GET", "async-invoke", arn]:
                return self._get(arn)
            case ["GET", "async-invoke"]:
                return self._list(listing.read_query(request.args.to_dict()))
        return self._control.answer(path, request)

    def _invoke(self, model_id: str, request: Request, caller: Caller) -> Mapping[str, Any]:
        body = _body(request)
        model_id = self._catalog.get(model_id).id
        self._quotas[model_id].take()
        _check_headers(request)
        return invoke(model_id, body, self._model, self._clients.get("s3", caller.role_arn), self._scratch)

    def _start(self, request: dict[str, Any], caller: Caller) -> Mapping[str, Any]:
        shapes.check("StartAsyncInvoke", request)
        model = self._catalog.get(request["modelId"])
        self._quotas[model.id].take()
        if not model.asynchronous:
            raise AwsError("ValidationException", "The provided model doesn't support asynchronous invocation.")
        nova.read_segmented(request["modelInput"])
        token = request.pop("clientRequestToken", None)
        job_id = self._jobs.repeated(token, request)
        if job_id is None:
            fresh = new_id()
            self._check_output(request, fresh, caller)
            with self._state.transaction():
                job_id = self._jobs.create(fresh, token, request, caller.role_arn)
                if job_id == fresh:
                    self._tags.first(self._jobs.arn(job_id), request.get("tags") or [])
            if job_id == fresh:
                self._runner.add(job_id)
        return {"invocationArn": self._jobs.arn(job_id)}

    def _check_output(self, request: Mapping[str, Any], job_id: str, caller: Caller) -> None:
        output = request["outputDataConfig"]["s3OutputDataConfig"]
        s3 = self._clients.get("s3", caller.role_arn)
        try:
            objects.check_owner(output.get("bucketOwner"), output["s3Uri"])
            uri = f"{job_uri(output['s3Uri'], job_id)}/manifest.json"
            objects.check_writable(s3, uri, output.get("kmsKeyId"), self._clients.get("s3", None))
        except objects.ObjectRefusedError as error:
            raise error.as_aws() from error

    def _get(self, arn: str) -> Mapping[str, Any]:
        shapes.check("GetAsyncInvoke", {"invocationArn": arn})
        job = self._jobs.get(arn.rpartition("/")[2])
        if job is None or arn != self._jobs.arn(job.id):
            raise AwsError("ValidationException", f"There is no asynchronous invocation {arn}")
        return self._summary(job)

    def _list(self, query: dict[str, Any]) -> Mapping[str, Any]:
        shapes.check("ListAsyncInvokes", query)
        page = Page(
            status=query.get("statusEquals"),
            since=query.get("submitTimeAfter"),
            until=query.get("submitTimeBefore"),
            ascending=query.get("sortOrder") == "Ascending",
            after=listing.read_token(query),
            size=query.get("maxResults", listing.DEFAULT_PAGE),
        )
        return listing.page_of("asyncInvokeSummaries", self._jobs.page(page), page.size, self._summary)

    def _summary(self, job: Job) -> Mapping[str, Any]:
        answer = {
            "invocationArn": self._jobs.arn(job.id),
            "modelArn": self._catalog.arn(nova.MODEL),
            "clientRequestToken": job.token,
            "status": job.status,
            "failureMessage": job.message,
            "submitTime": listing.iso(job.submitted),
            "lastModifiedTime": listing.iso(job.modified),
            "endTime": listing.iso(job.ended) if job.ended is not None else None,
            "outputDataConfig": {"s3OutputDataConfig": {**job.output, "s3Uri": job.output_uri}},
        }
        return {name: value for name, value in answer.items() if value is not None}


class _Quota:
    """Requests of the last minute, which a restart forgets."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._taken: collections.deque[float] = collections.deque()

    def take(self) -> None:
        now = clock.now()
        with self._lock:
            while self._taken and self._taken[0] <= now - 60:
                self._taken.popleft()
            if len(self._taken) >= self._per_minute:
                raise AwsError("ThrottlingException", "Too many requests, please wait before trying again.", 429)
            self._taken.append(now)


def _error(error: AwsError) -> Response:
    return json_response({"message": error.message, **error.members}, error.status, error.code)


def _path(request: Request) -> list[str]:
    """The decoded parts of the path. The raw one is split: an ARN in it holds encoded slashes."""
    raw: str = request.environ["REQUEST_URI"]
    return [unquote(part) for part in raw.partition("?")[0].strip("/").split("/")]


def _body(request: Request) -> Any:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        while request.stream.read(1 << 20):  # to its end, so that the connection can go on
            pass
        rule = f"Member must have length less than or equal to {MAX_BODY_BYTES}"
        raise AwsError("ValidationException", f"Value at 'body' failed to satisfy constraint: {rule}")
    try:
        return orjson.loads(request.get_data())
    except orjson.JSONDecodeError as error:
        raise AwsError("ValidationException", f"Malformed input request: the body is not JSON: {error}") from error


def _check_headers(request: Request) -> None:
    if request.mimetype not in _JSON_TYPES:
        raise AwsError("ValidationException", "The provided Content Type is invalid or not supported for this model")
    if request.headers.get("Accept", "*/*") not in ("*/*", "application/json"):
        raise AwsError("ValidationException", "The provided Accept Type is invalid or not supported for this model")
    for name in request.headers.keys():  # noqa: SIM118 (iterating the headers gives pairs)
        if re.match(r"x-amzn-bedrock-", name, re.IGNORECASE):
            raise AwsError("ValidationException", f"The laptop does not offer {name}")
