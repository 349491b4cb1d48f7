"""Works on the batch inference jobs in the background: one thread validates them, one runs them, in their order."""

import json
import logging
import queue
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from local import clock
from local.bedrock import batch_input, batch_output, objects
from local.bedrock.batch_input import InputRefusedError, Record
from local.bedrock.batch_jobs import UNFINISHED, BatchJob, BatchJobs
from local.bedrock.batch_output import Tally
from local.bedrock.invoke import invoke
from local.bedrock.model import BackgroundModel
from local.clients import Clients
from local.faults import Faults
from local.wire import AwsError

log = logging.getLogger(__name__)

_RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)  # after which S3 counts as gone
_ID_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

T = TypeVar("T")


class S3GoneError(Exception):
    """S3 could not be reached, however often it was asked."""


class StoppedError(Exception):
    """The laptop stops; the job goes on with its next start."""


class BatchRunner:
    """A job's input and what is done of it lie in `folder`, so that one that is interrupted goes on where it was."""

    def __init__(
        self,
        jobs: BatchJobs,
        model: BackgroundModel,
        clients: Clients,
        folder: Path,
        scratch: Path,
        job_seconds: float,
        min_records: int,
        faults: Faults,
        ready: threading.Event,
    ) -> None:
        self._ready = ready
        self._jobs = jobs
        self._model = model
        self._clients = clients
        self._folder = folder
        self._scratch = scratch
        self._job_seconds = job_seconds
        self._min_records = min_records
        self._faults = faults
        self._stopped = threading.Event()
        self._to_validate: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._to_run: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for job in jobs.unfinished():
            (self._to_validate if job.status in ("Submitted", "Validating") else self._to_run).put(job.id)
        self._threads = [
            threading.Thread(target=self._work, args=work, name=name, daemon=True)
            for name, *work in (
                ("bedrock-validation", self._to_validate, self._validate),
                ("bedrock-batch", self._to_run, self._run),
            )
        ]
        for thread in self._threads:
            thread.start()

    def add(self, job_id: str) -> None:
        self._to_validate.put(job_id)

    def interrupt(self) -> None:
        """No record is begun any more; `join` waits for those that are, which the end of the model ends."""
        self._stopped.set()
        self._ready.set()
        for waiting in (self._to_validate, self._to_run):
            waiting.put(None)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self, waiting: "queue.SimpleQueue[str | None]", step: Callable[[BatchJob], None]) -> None:
        self._ready.wait()
        while (job_id := waiting.get()) is not None and not self._stopped.is_set():
            job = self._jobs.get(job_id)
            assert job
            try:
                step(job)
            except StoppedError:
                return
            except (InputRefusedError, objects.ObjectRefusedError, S3GoneError) as error:
                self._fail(job, str(error))
            except Exception:
                log.exception("batch job %s of the laptop's Bedrock failed", job.id)
                self._fail(job, "Internal server error; the laptop's log says why")

    def _fail(self, job: BatchJob, message: str) -> None:
        if not self._jobs.advance(job.id, ("Stopping",), "Stopped"):
            self._jobs.advance(job.id, UNFINISHED, "Failed", message)
        shutil.rmtree(self._folder / job.id, ignore_errors=True)

    # Validating

    def _validate(self, job: BatchJob) -> None:
        if not self._jobs.advance(job.id, ("Submitted", "Validating"), "Validating"):
            return  # stopped while it waited
        total = self._patiently(lambda: self._fetch(job))
        self._jobs.count(job.id, total)
        if self._jobs.advance(job.id, ("Validating",), "Scheduled"):
            self._to_run.put(job.id)
        else:
            self._jobs.advance(job.id, ("Stopping",), "Stopped")
            shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def _fetch(self, job: BatchJob) -> int:
        """Copy the input, which from then on is what it was when it was checked. Returns how many records it holds."""
        s3 = self._s3(job)
        uri = job.input["s3Uri"]
        objects.check_owner(job.input.get("s3BucketOwner"), uri)
        objects.check_owner(job.output.get("s3BucketOwner"), job.output["s3Uri"])
        files = batch_input.find_files(s3, uri)
        shutil.rmtree(self._folder / job.id, ignore_errors=True)
        (self._folder / job.id).mkdir(parents=True)
        total = size = 0
        for number, file in enumerate(files):
            path = self._input(job, number)
            objects.download(s3, file, path, batch_input.MAX_FILE_BYTES)
            size += path.stat().st_size
            if size > batch_input.MAX_JOB_BYTES:
                raise InputRefusedError(f"The input files have more than {batch_input.MAX_JOB_BYTES} bytes together")
            total += batch_input.check_records(path, file)
        self._check_total(total)
        cleaner = self._clients.get("s3", None)
        objects.check_writable(s3, f"{job.output_uri}/manifest.json.out", job.output.get("s3EncryptionKeyId"), cleaner)
        start = len(batch_input.folder_of(uri) or uri.rpartition("/")[0] + "/")
        self._names(job).write_text(json.dumps([file[start:] for file in files]))
        return total

    def _check_total(self, total: int) -> None:
        if total < self._min_records:
            rule = f"than the required minimum of: {self._min_records}"
            raise InputRefusedError(f"Batch job contains less records ({total}) {rule}")
        if total > batch_input.MAX_RECORDS:
            rule = f"than the allowed maximum of: {batch_input.MAX_RECORDS}"
            raise InputRefusedError(f"Batch job contains more records ({total}) {rule}")

    # Running

    def _run(self, job: BatchJob) -> None:
        # The least time of a job passes before its work, as for an asynchronous invocation.
        if clock.wait(job.submitted + self._job_seconds - clock.now(), self._stopped):
            raise StoppedError
        if failure := self._faults.job_failure(json.dumps(job.request)):
            return self._fail(job, failure)
        if clock.now() >= job.expires and self._jobs.advance(
            job.id, ("Scheduled",), "Expired", "The job timed out before it began"
        ):
            return
        begun = self._jobs.advance(job.id, ("Scheduled", "InProgress"), "InProgress")
        if not begun and not self._jobs.advance(job.id, ("Stopping",), "Stopping"):
            return  # stopped while it waited
        whole = self._embed(job)
        if not self._jobs.advance(job.id, ("Stopping",), "Stopped"):
            late = "The job timed out before all of its records were processed"
            end = ("Completed", None) if whole else ("PartiallyCompleted", late)
            self._jobs.advance(job.id, ("InProgress",), *end)
        shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def _embed(self, job: BatchJob) -> bool:
        """Write the output, as far as the job may go on; whether that is all of it."""
        if not self._names(job).exists():
            return False  # a kill came between its stop and the end of its validation
        tally = Tally()
        names = enumerate(json.loads(self._names(job).read_text()))
        whole = all(self._embed_file(job, number, name, tally) for number, name in names)
        self._jobs.progress(job.id, tally.succeeded, tally.failed)
        manifest = self._folder / job.id / "manifest"
        manifest.write_text(json.dumps(tally.manifest(job.total)))
        self._upload(job, manifest, "manifest.json.out")
        return whole

    def _embed_file(self, job: BatchJob, number: int, name: str, tally: Tally) -> bool:
        path = self._output(job, number)
        done = batch_output.resume(path, tally)
        whole = True
        with path.open("ab") as lines:
            for record in islice(batch_input.read_records(self._input(job, number), name), done, None):
                whole = clock.now() < job.expires and self._jobs.progress(job.id, tally.succeeded, tally.failed)
                if not whole:
                    break
                result = self._answer(job, record)
                if self._stopped.is_set():
                    raise StoppedError  # which may be why the record failed
                lines.write(batch_output.to_line(result))
                lines.flush()
                tally.add(result)
        self._upload(job, path, f"{name}.out")
        return whole

    def _answer(self, job: BatchJob, record: Record) -> Mapping[str, Any]:
        """A line of the output. Bedrock user guide, "View the results of a batch inference job"."""
        line = {"recordId": record.id or _new_record_id(), "modelInput": record.model_input}
        folder = batch_input.folder_of(job.input["s3Uri"])
        if uri := batch_input.misplaced(record.model_input, folder):
            return {**line, "error": _error(400, f"{uri} is not in the input folder of the job")}
        if failed := self._faults.segment_failure(json.dumps(job.request)):
            return {**line, "error": _error(400, failed.message)}
        s3 = self._s3(job)
        try:
            output = self._patiently(lambda: invoke(job.model, record.model_input, self._model, s3, self._scratch))
        except AwsError as error:
            return {**line, "error": _error(error.status, error.message)}
        except S3GoneError as error:
            return {**line, "error": _error(500, str(error))}
        return {**line, "modelOutput": output}

    def _upload(self, job: BatchJob, path: Path, name: str) -> None:
        s3, kms_key = self._s3(job), job.output.get("s3EncryptionKeyId")
        self._patiently(lambda: objects.upload(s3, path, f"{job.output_uri}/{name}", kms_key))

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do the work, again where S3 cannot be reached. Raises `S3GoneError`, `StoppedError`."""
        for delay in (*_RETRY_SECONDS, None):
            try:
                return work()
            except (BotoCoreError, ClientError) as error:
                log.warning("batch inference: %s", error)
                if delay is None:
                    raise S3GoneError(f"Amazon S3 could not be reached: {error}") from error
                if clock.wait(delay, self._stopped):
                    raise StoppedError from error
        raise AssertionError("the last attempt returns or raises")

    def _s3(self, job: BatchJob) -> Any:
        return self._clients.get("s3", job.request["roleArn"])

    def _names(self, job: BatchJob) -> Path:
        """Lists the input files below the input folder, by their number."""
        return self._folder / job.id / "names.json"

    def _input(self, job: BatchJob, number: int) -> Path:
        return self._folder / job.id / f"{number}.jsonl"

    def _output(self, job: BatchJob, number: int) -> Path:
        return self._folder / job.id / f"{number}.jsonl.out"


def _error(code: int, message: str) -> dict[str, Any]:
    return {"errorCode": code, "errorMessage": message}


def _new_record_id() -> str:
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(11))
