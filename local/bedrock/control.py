"""Amazon Bedrock's control plane: batch inference jobs, the tags of jobs, the list of models."""

from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Request

from local.bedrock import listing, shapes
from local.bedrock.batch_jobs import BatchJob, BatchJobs, BatchPage
from local.bedrock.batch_runner import BatchRunner
from local.bedrock.catalog import Catalog
from local.bedrock.jobs import Jobs, new_id
from local.bedrock.tags import Tags
from local.operations import name_of
from local.state import State
from local.wire import ACCOUNT, AwsError, MayTake, read_json

Answer = Mapping[str, Any]


class Control:
    """It signs as `bedrock`, like the runtime; only the path tells them apart."""

    def __init__(
        self,
        state: State,
        catalog: Catalog,
        jobs: Jobs,
        batch_jobs: BatchJobs,
        runner: BatchRunner,
        tags: Tags,
        may_take: MayTake,
    ) -> None:
        self._state = state
        self._catalog = catalog
        self._jobs = jobs
        self._batch_jobs = batch_jobs
        self._runner = runner
        self._tags = tags
        self._may_take = may_take

    def answer(self, path: list[str], request: Request) -> Answer:
        """`path` is in decoded parts."""
        match [request.method, *path]:
            case ["POST", "model-invocation-job"]:
                return self._create(read_json(request))
            case ["GET", "model-invocation-job", identifier]:
                shapes.check("GetModelInvocationJob", {"jobIdentifier": identifier}, "bedrock")
                return self._details(self._job(identifier))
            case ["GET", "model-invocation-jobs"]:
                return self._list(listing.read_query(request.args.to_dict()))
            case ["POST", "model-invocation-job", identifier, "stop"]:
                shapes.check("StopModelInvocationJob", {"jobIdentifier": identifier}, "bedrock")
                self._batch_jobs.stop(self._job(identifier).id)
                return {}
            case ["POST", "listTagsForResource" | "tagResource" | "untagResource" as operation]:
                return self._tag(operation, read_json(request))
            case ["GET", "foundation-models"]:
                query = request.args.to_dict()
                shapes.check("ListFoundationModels", query, "bedrock")
                return self._catalog.list(query)
            case ["GET", "foundation-models", identifier]:
                shapes.check("GetFoundationModel", {"modelIdentifier": identifier}, "bedrock")
                return self._catalog.describe(identifier)
        raise AwsError("UnknownOperationException", f"The laptop does not offer {name_of('bedrock', request)}", 404)

    # Batch inference

    def _create(self, request: dict[str, Any]) -> Answer:
        shapes.check("CreateModelInvocationJob", request, "bedrock")
        token = request.pop("clientRequestToken", None)
        with self._state.transaction():
            job_id = self._batch_jobs.repeated(token)
            if job_id is None:
                job_id = self._batch_jobs.create(token, self._batch_model(request), request)
                self._tags.first(self._batch_jobs.arn(job_id), request.get("tags") or [])
                self._state.after_commit(lambda: self._runner.add(job_id))
        return {"jobArn": self._batch_jobs.arn(job_id)}

    def _batch_model(self, request: Mapping[str, Any]) -> str:
        """The id of the model, once all is right that the service's model cannot say."""
        model = self._catalog.get(request["modelId"])
        if not model.batch:
            raise AwsError("ValidationException", f"The model {model.id} doesn't support batch inference.")
        if request.get("modelInvocationType") == "Converse":
            raise AwsError("ValidationException", f"The model {model.id} doesn't support the Converse API.")
        if request["roleArn"].split(":")[4] != ACCOUNT:
            raise AwsError("AccessDeniedException", "Cross-account pass role is not allowed.", 403)
        if not self._may_take("bedrock.amazonaws.com", request["roleArn"], self._batch_jobs.arn(new_id())):
            raise AwsError("ValidationException", "Could not assume provided IAM role.")
        return model.id

    def _job(self, identifier: str) -> BatchJob:
        job = self._batch_jobs.get(identifier.rpartition("/")[2])
        if job is None or identifier not in (job.id, self._batch_jobs.arn(job.id)):
            message = f"Could not find a batch inference job {identifier}."
            raise AwsError("ResourceNotFoundException", message, 404)
        return job

    def _list(self, query: dict[str, Any]) -> Answer:
        shapes.check("ListModelInvocationJobs", query, "bedrock")
        page = BatchPage(
            status=query.get("statusEquals"),
            name_contains=query.get("nameContains"),
            since=query.get("submitTimeAfter"),
            until=query.get("submitTimeBefore"),
            ascending=query.get("sortOrder") == "Ascending",
            after=listing.read_token(query),
            size=query.get("maxResults", listing.DEFAULT_PAGE),
        )
        return listing.page_of("invocationJobSummaries", self._batch_jobs.page(page), page.size, self._details)

    def _details(self, job: BatchJob) -> Answer:
        answer = {
            "jobArn": self._batch_jobs.arn(job.id),
            "jobName": job.name,
            "modelId": job.request["modelId"],
            "clientRequestToken": job.token,
            "roleArn": job.request["roleArn"],
            "status": job.status,
            "message": job.message,
            "submitTime": listing.iso(job.submitted),
            "lastModifiedTime": listing.iso(job.modified),
            "endTime": None if job.ended is None else listing.iso(job.ended),
            "inputDataConfig": job.request["inputDataConfig"],
            "outputDataConfig": job.request["outputDataConfig"],
            "vpcConfig": job.request.get("vpcConfig"),
            "timeoutDurationInHours": job.hours,
            "jobExpirationTime": listing.iso(job.expires),
            "modelInvocationType": job.request.get("modelInvocationType", "InvokeModel"),
            "totalRecordCount": job.total,
            "processedRecordCount": job.succeeded + job.failed,
            "successRecordCount": job.succeeded,
            "errorRecordCount": job.failed,
        }
        return {name: value for name, value in answer.items() if value is not None}

    # Tags

    def _tag(self, path: str, request: dict[str, Any]) -> Answer:
        shapes.check(path[0].upper() + path[1:], request, "bedrock")
        arn = request["resourceARN"]
        self._check_exists(arn)
        match path:
            case "tagResource":
                self._tags.add(arn, request["tags"])
            case "untagResource":
                self._tags.remove(arn, request["tagKeys"])
            case _:
                return {"tags": self._tags.list(arn)}
        return {}

    def _check_exists(self, arn: str) -> None:
        job_id = arn.rpartition("/")[2]
        if arn == self._batch_jobs.arn(job_id) and self._batch_jobs.get(job_id):
            return
        if arn == self._jobs.arn(job_id) and self._jobs.get(job_id):
            return
        raise AwsError("ResourceNotFoundException", f"Could not find the resource {arn}.", 404)
