"""Works on the asynchronous invocations, in the background and in the order they came."""

import json
import logging
import queue
import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local import clock
from local.bedrock import nova, objects
from local.bedrock.inputs import store
from local.bedrock.jobs import Job, Jobs
from local.bedrock.model import Model, ModelFailedError, UnreadableInputError
from local.bedrock.spoiling import spoil
from local.clients import Clients
from local.faults import Faults

log = logging.getLogger(__name__)

JOB_TIMEOUT_SECONDS = 3600.0
_RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)  # after which S3 counts as gone


_FILES = {
    "TEXT": "embedding-text.jsonl",
    "IMAGE": "embedding-image.json",
    "AUDIO": "embedding-audio.jsonl",
    "VIDEO": "embedding-video.jsonl",
    "AUDIO_VIDEO_COMBINED": "embedding-audio-video.jsonl",
}


class JobRunner:
    """`threads` of them work, once it is `ready`; a job that a stop or a kill interrupts begins again then."""

    def __init__(
        self,
        jobs: Jobs,
        model: Model,
        clients: Clients,
        scratch: Path,
        job_seconds: float,
        threads: int,
        faults: Faults,
        ready: threading.Event,
    ) -> None:
        self._ready = ready
        self._jobs = jobs
        self._model = model
        self._clients = clients
        self._faults = faults
        self._scratch = scratch
        self._job_seconds = job_seconds
        self._stopped = threading.Event()
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for job_id in jobs.unfinished():
            self.add(job_id)
        self._threads = [threading.Thread(target=self._work, name=f"bedrock-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def add(self, job_id: str) -> None:
        self._waiting.put(job_id)

    def stop(self) -> None:
        """The model is stopped first: that is what ends a job in the middle."""
        self._stopped.set()
        self._ready.set()
        for _ in self._threads:
            self._waiting.put(None)
        self._model.stop()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        self._ready.wait()
        while (job_id := self._waiting.get()) is not None and not self._stopped.is_set():
            job = self._jobs.get(job_id)
            assert job
            # The least time of a job passes before its work, so that no thread waits with a result in its hands.
            if not clock.wait(job.submitted + self._job_seconds - clock.now(), self._stopped):
                self._end(job)

    def _end(self, job: Job) -> None:
        failure = self._faults.job_failure(json.dumps(job.request)) or self._attempt(job)
        if not self._stopped.is_set():
            self._jobs.end(job.id, failure)

    def _attempt(self, job: Job) -> str | None:
        """Run the job, again where S3 cannot be reached; the reason if it failed."""
        for delay in (*_RETRY_SECONDS, None):
            try:
                self._run(job)
                return None
            except (objects.ObjectRefusedError, UnreadableInputError, ModelFailedError) as error:
                return str(error)
            except (BotoCoreError, ClientError) as error:
                log.warning("job %s: %s", job.id, error)
                if delay is None or clock.wait(delay, self._stopped):
                    return f"Amazon S3 could not be reached: {error}"
            except Exception:
                log.exception("job %s of the laptop's Bedrock failed", job.id)
                return "Internal server error; the laptop's log says why"
        raise AssertionError("the last attempt returns")

    def _run(self, job: Job) -> None:
        params = nova.read_segmented(job.request["modelInput"])
        s3 = self._clients.get("s3", job.role_arn)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            source, output = Path(folder, "input"), Path(folder, "output")
            output.mkdir()
            store(params.medium, params.medium.source, s3, nova.MAX_ASYNC_BYTES, source)
            order = {"dimension": params.embedding_dimension, "path": str(source), "output": str(output)}
            written = self._model.ask({**_work(params.medium), **order}, JOB_TIMEOUT_SECONDS, for_job=True)
            fails = partial(self._faults.segment_failure, json.dumps(job.request))
            written = {kind: spoil(output / kind, tally, fails) for kind, tally in written.items()}
            self._publish(s3, job, params, output, written)

    def _publish(
        self, s3: Any, job: Job, params: nova.SegmentedParams, output: Path, written: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """`written` says what lies in the files of `output`, which have the names of the embedding types.

        The discovery file comes last: who sees it finds the others.
        """
        kms_key = job.output.get("kmsKeyId")
        uris = {kind: f"{job.output_uri}/{_FILES[kind]}" for kind in written}
        for kind, uri in uris.items():
            objects.upload(s3, output / kind, uri, kms_key)
        result = {
            "sourceFileUri": params.location.uri,
            "embeddingDimension": params.embedding_dimension,
            "embeddingResults": [
                {"embeddingType": kind, **_outcome(tally), "outputFileUri": uris[kind]}
                for kind, tally in written.items()
            ],
        }
        manifest = {
            "modelId": job.request["modelId"],
            "segmentCount": max(tally["segments"] for tally in written.values()),
            "outputFileUris": list(uris.values()),
        }
        for name, content in (("manifest.json", manifest), ("segmented-embedding-result.json", result)):
            file = output / name
            file.write_text(json.dumps(content))
            objects.upload(s3, file, f"{job.output_uri}/{name}", kms_key)


def _work(medium: nova.SegmentedText | nova.Image | nova.SegmentedAudio | nova.SegmentedVideo) -> dict[str, Any]:
    """The order to the model, without the places of the files."""
    match medium:
        case nova.SegmentedText():
            longest = medium.segmentation_config.max_length_chars
            return {"do": "write_text", "longest": longest, "truncation": medium.truncation_mode}
        case nova.Image():
            return {"do": "write_image"}
        case nova.SegmentedAudio():
            return {"do": "write_audio", "seconds": medium.segmentation_config.duration_seconds}
        case nova.SegmentedVideo():
            seconds = medium.segmentation_config.duration_seconds
            return {"do": "write_video", "seconds": seconds, "mode": medium.embedding_mode}


def _outcome(written: Mapping[str, Any]) -> dict[str, str]:
    if not written["failed"]:
        return {"status": "SUCCESS"}
    status = "FAILURE" if written["failed"] == written["segments"] else "PARTIAL_SUCCESS"
    return {"status": status, "failureReason": written.get("reason", "INVALID_CONTENT"), "message": written["message"]}
