"""Jobs of Bedrock, no more at once than there are slots, and the word that one has its result.

Whoever asks for a job, ends one, or comes by on a schedule fills the free slots with those that have waited longest. An
execution that waits holds a task token, which lies with its job in the catalog; that a job runs is told by the token.
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from lambdas.jobs.slots import Slots, Waiting
from lambdas.shared import nova
from lambdas.shared.assets import Work
from lambdas.shared.catalog import Catalog
from lambdas.shared.errors import SupersededError, ThrottledError
from lambdas.shared.nova import JobRequest

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_stepfunctions import SFNClient

logger = Logger(child=True)
TRIES = 200  # of taking slots while others do the same; what is left is the next one's, or the schedule's
CAUSE_CHARS = 1000
GONE = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")  # nobody waits there any more


@dataclass(frozen=True)
class Jobs:
    """The clients of one function."""

    bedrock: "BedrockRuntimeClient"
    stepfunctions: "SFNClient"
    catalog: Catalog
    slots: Slots

    def start(self, work: Work, request: JobRequest, token: str) -> None:
        """Run this job when there is room; the token is told its ARN, or why there is none. SupersededError."""
        head = self.catalog.head(work.asset_id)
        if head is None or head.work != work:
            raise SupersededError(f"{work.name} is not wanted any more")
        job = self.catalog.ask_job(work, orjson.dumps(request).decode(), token)
        if "invocation_arn" in job:
            self._tell(token, job["invocation_arn"])
            return
        waiting = Waiting(work, job["since"], token)
        if not self.slots.free():
            with suppress(SupersededError):
                self.catalog.wait(work)
        self.slots.wait(waiting)
        self.fill()

    def end(self, work: Work) -> None:
        """Its job has come to an end, whichever: the next one may begin."""
        self.slots.release(work)
        self.fill()

    def arrive(self, work: Work) -> None:
        """The result of its job is there: wake the execution that waits for it."""
        job = self.catalog.record_arrival(work)
        if job and "waiter" in job:
            self._sent(self.stepfunctions.send_task_success, job["waiter"], output="{}")

    def sweep(self) -> None:
        """Take slots back whose time is over: whoever took one has died, or its job is told nobody any more."""
        for work, until in self.slots.expired():
            job = self.catalog.job(work)
            if job and "since" in job:  # else it was overwritten, and what told of it is forgotten
                self.slots.give_back(Waiting(work, job["since"], job["token"]), until)
            else:
                self.slots.release(work, until)
        self.fill()

    def fill(self) -> None:
        for _ in range(TRIES):
            if self.slots.free() <= 0:
                return
            waiting = self.slots.oldest()
            if waiting is None:
                return
            until = self.slots.take(waiting)
            if until is None:
                time.sleep(random.uniform(0, 0.05))
            elif not self._begin(waiting, until):
                return

    def _begin(self, waiting: Waiting, until: int) -> bool:
        """Start the job of one that has a slot; False if Bedrock has no room after all, and nobody should go on.

        Until the token is told the slot is held for moments only: if that fails, the next one who comes by does it.
        """
        work = waiting.work
        try:
            arn = self._run(work)
        except Exception as error:  # told to the execution that waits for it: whoever is at work here is another
            logger.warning("the job could not be started", job=work.name, error=repr(error))
            self._tell_failure(waiting.token, error)
            self.slots.release(work, until)
            return not isinstance(error, ThrottledError)
        if self._tell(waiting.token, arn):
            self.slots.keep(work, until)
        else:
            self.slots.release(work, until)
        return True

    def _run(self, work: Work) -> str:
        """Its ARN; the same one again. SupersededError, ThrottledError, BadInputError."""
        job = self.catalog.job(work)
        if job is None:
            raise SupersededError(f"{work.name} was forgotten before its turn")
        if "invocation_arn" in job:
            return str(job["invocation_arn"])
        self.catalog.run(work)
        try:
            arn = nova.start_job(self.bedrock, orjson.loads(job["request"]), work.name)
        except ThrottledError:
            self.catalog.wait(work)
            raise
        self.catalog.record_job(work, arn)
        return arn

    def _tell(self, token: str, arn: str) -> bool:
        """False if nobody waits for it any more."""
        return self._sent(self.stepfunctions.send_task_success, token, output=orjson.dumps({"arn": arn}).decode())

    def _tell_failure(self, token: str, error: Exception) -> None:
        cause = orjson.dumps({"errorMessage": str(error)[:CAUSE_CHARS]}).decode()
        self._sent(self.stepfunctions.send_task_failure, token, error=type(error).__name__, cause=cause)

    @staticmethod
    def _sent(send: Callable[..., object], token: str, **told: str) -> bool:
        """A token that is used up or over is told nothing: its execution went on without it."""
        try:
            send(taskToken=token, **told)
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            return False
        return True
