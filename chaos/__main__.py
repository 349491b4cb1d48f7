"""What `make chaos` does: files of every kind, while whatever can go wrong does; then an account from outside.

The laptop is started as `make run` starts it, and used over the wire. When the files are in, the faults are taken away
and nothing is done but wait. What is done and what goes wrong follows from the seed. The exit code is the account's.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import boto3
from rich.console import Console
from rich.live import Live
from rich.text import Text

from chaos.plan import LATEST, SIDECAR, Action, Plan, Rule, plan_of
from local import options

ROOT = Path(__file__).parent.parent
ACCOUNT = Path(__file__).parent / "account.py"
OPEN = ("received", "waiting", "embedding")
STARTING_SECONDS = 180
ENDING_SECONDS = 30
LINE_SECONDS = 5  # off a terminal, between two lines
STILL = 3 * LATEST  # seconds of the laptop's clock without anything to do: nothing is held back any more

console = Console(highlight=False)


class ChaosError(Exception):
    """It cannot go on; one sentence."""


def main() -> int:
    given = read_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(given)
    except ChaosError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="any that is drawn, and printed")
    parser.add_argument("--files", type=options.count, default=150, help="distinct keys; copies count, sidecars do not")
    parser.add_argument("--data", type=Path, default=None, help="an empty folder; a temporary one, which stays")
    parser.add_argument("--port", type=options.port, default=0)
    parser.add_argument("--aws-port", type=options.port, default=0)
    parser.add_argument("--time-scale", default=os.environ.get("TIME_SCALE") or "20")
    parser.add_argument("--deadline", type=options.seconds, default=None, help="seconds; 300 and 3 a file")
    return parser.parse_args()


def run(given: argparse.Namespace) -> int:
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    data = (given.data or Path(tempfile.mkdtemp(prefix="bucketlens-chaos-"))).resolve()
    if (data / "outputs.json").exists():
        raise ChaosError(
            f"{data} has a state already: give DATA a folder of its own, so that the account is of this run"
        )
    print(f"SEED={seed} FILES={given.files} DATA={data}", flush=True)
    deadline = given.deadline or 300 + 3 * given.files
    with laptop(given, data) as storm:
        started = time.monotonic()
        storm.act(plan_of(seed, given.files, storm.stack))
        faults = storm.end()
        ended = time.monotonic()
        print(f"{given.files} files are in after {ended - started:.0f} s; the faults are taken away", flush=True)
        storm.wait(started + deadline)
        done = time.monotonic()
        print(f"all came to an end after {done - started:.0f} s, {done - ended:.0f} of them without faults", flush=True)
        (data / "faults.json").write_text(json.dumps(faults))
        command = [sys.executable, ACCOUNT, data / "outputs.json", "--faults", data / "faults.json"]
        code = subprocess.run(command, cwd=data).returncode
    print(f"\nmake run SAMPLES=0 DATA={data}   opens what is left")
    print(f"make chaos SEED={seed} FILES={given.files}   repeats it")
    return code


@contextmanager
def laptop(given: argparse.Namespace, data: Path) -> Iterator["Storm"]:
    """As a user starts it; it and all its processes end with the block."""
    command = [sys.executable, "-m", "samples.tour", "--no-samples", "--data", str(data)]
    command += ["--port", str(given.port), "--aws-port", str(given.aws_port), "--time-scale", given.time_scale]
    data.mkdir(parents=True, exist_ok=True)
    with (data / "laptop.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        with console.status("starting the AWS on this laptop …"):
            stack, outputs = _started(data, process)
        yield Storm(stack, outputs, float(given.time_scale))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _started(data: Path, process: subprocess.Popen[bytes]) -> tuple[str, dict[str, str]]:
    deadline = time.monotonic() + STARTING_SECONDS
    while not (data / "outputs.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ChaosError(f"the laptop did not start: {data / 'laptop.log'} says why")
        time.sleep(0.1)
    ((stack, outputs),) = json.loads((data / "outputs.json").read_text()).items()
    return stack, outputs


@dataclass(frozen=True)
class Storm:
    """A laptop to be treated badly."""

    stack: str
    outputs: dict[str, str]
    time_scale: float

    def act(self, plan: Plan) -> None:
        """Do what is planned."""
        total = len(plan.actions)
        with progress() as show:
            done = 0
            for pause, step in plan.steps:
                time.sleep(pause)
                if isinstance(step, Action):
                    self._do(step)
                    done += 1
                    show(f"{done} of {total} changes made")
                else:
                    self._faults("POST", step)

    def end(self) -> dict[str, dict[str, int]]:
        """Take the faults away; how often what struck, by operation and fault."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for rule in self._faults("GET")["rules"]:
            if rule["hits"]:
                found[_struck(rule)][rule["fault"]] += rule["hits"]
        self._faults("DELETE")
        return {name: dict(kinds) for name, kinds in found.items()}

    def wait(self, deadline: float) -> None:
        """Until nothing has been left to do for a while, or the deadline: what is not done then is told as stuck."""
        still_since = time.monotonic()
        with progress() as show:
            while time.monotonic() < min(deadline, still_since + STILL / self.time_scale):
                ends, left = self._statuses(), self._left()
                if left or any(ends[status] for status in OPEN):
                    still_since = time.monotonic() + 0.5
                counts = ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
                show(counts + (f"; {left} messages and executions" if left else "; waiting for what is held back"))
                time.sleep(0.5)

    # -- a user's calls -----------------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        where = {"Bucket": self.outputs["MediaBucket"], "Key": action.key}
        match action.verb:
            case "put":
                self._s3.put_object(**where, Body=action.content, Metadata=action.said)
            case "delete":
                self._s3.delete_object(**where)
            case "restore":
                self._restore(where)
            case "copy":
                self._s3.copy_object(**where, CopySource={"Bucket": where["Bucket"], "Key": action.source})
            case "tag":
                tags = [{"Key": name, "Value": value} for name, value in action.said.items()]
                self._s3.put_object_tagging(**where, Tagging={"TagSet": tags})
            case "write_sidecar":
                self._s3.put_object(Bucket=where["Bucket"], Key=action.key + SIDECAR, Body=action.content)
            case "delete_sidecar":
                self._s3.delete_object(Bucket=where["Bucket"], Key=action.key + SIDECAR)

    def _restore(self, where: dict[str, str]) -> None:
        """Take the delete marker away."""
        listed = self._s3.list_object_versions(Bucket=where["Bucket"], Prefix=where["Key"])
        (marker,) = (one for one in listed["DeleteMarkers"] if one["Key"] == where["Key"] and one["IsLatest"])
        self._s3.delete_object(**where, VersionId=marker["VersionId"])

    @cached_property
    def _s3(self) -> Any:
        return self._client("s3")

    @cached_property
    def _queues(self) -> list[str]:
        """All but the dead letters, which are an end."""
        return [url for url in self._sqs.list_queues()["QueueUrls"] if "DeadLetters" not in url]

    @cached_property
    def _sqs(self) -> Any:
        return self._client("sqs")

    @cached_property
    def _stepfunctions(self) -> Any:
        return self._client("stepfunctions")

    def _client(self, service: str) -> Any:
        keys: dict[str, Any] = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        return boto3.client(service, endpoint_url=self.outputs["AwsEndpointUrl"], region_name="us-east-1", **keys)

    def _faults(self, method: str, rules: list[Rule] | None = None) -> Any:
        url, body = f"{self.outputs['AwsEndpointUrl']}/_local/faults", json.dumps(rules).encode() if rules else None
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    # -- what is going on -----------------------------------------------------------------------------------------

    def _statuses(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for which in ({}, {"status": "deleted"}):
            token: dict[str, str] = {}
            while True:
                query = urlencode({**which, **token}, quote_via=quote)
                with urllib.request.urlopen(f"{self.outputs['ApiUrl']}/assets?{query}", timeout=60) as answer:
                    page = json.load(answer)
                found.update(asset["status"] for asset in page["assets"])
                if "next" not in page:
                    break
                token = {"next": page["next"]}
        return found

    def _left(self) -> int:
        """Messages in the queues, seen, unseen and delayed, and executions that run."""
        left = 0
        for url in self._queues:
            attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            left += sum(int(count) for name, count in attributes.items() if name.startswith("ApproximateNumberOf"))
        for machine in self._stepfunctions.list_state_machines()["stateMachines"]:
            where = {"stateMachineArn": machine["stateMachineArn"], "statusFilter": "RUNNING"}
            left += len(self._stepfunctions.list_executions(**where)["executions"])
        return left


def _struck(rule: Rule) -> str:
    """What a rule struck, as the account names it."""
    if "operation" in rule:
        return f"{rule['service']} {rule['operation']}"
    names = {"crash": f"function {rule.get('function', '').strip('*')}", "fail_job": "job", "fail_segment": "segment"}
    return names.get(rule["fault"]) or f"{rule['service']} messages"


@contextmanager
def progress() -> Iterator[Any]:
    """Something to tell how it stands: a line that changes on a terminal, elsewhere one every few seconds."""
    told = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=True, auto_refresh=console.is_terminal) as live:

        def show(text: str) -> None:
            nonlocal told
            if console.is_terminal:
                live.update(Text(text))
            elif time.monotonic() > told + LINE_SECONDS:
                told = time.monotonic()
                print(text, flush=True)

        yield show


if __name__ == "__main__":
    sys.exit(main())
