"""What `make run` does: synthesize the stack, run it on this machine, drop the samples, ask, and serve.

It is a user of the laptop like any other: it puts files with boto3 and asks the HTTP API.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from infra import layers
from lambdas.agents.places import place_of
from local import clock, options
from local.http import PortBusyError
from local.laptop import DataError, Laptop, Settings
from local.stack.template import TemplateError
from samples.examples import EXAMPLES, Example

ROOT = Path(__file__).parent.parent
MEDIA = Path(__file__).parent / "media"
PREFIX = "samples/"  # where they lie in the bucket, apart from the user's own files
SOURCES = ("app.py", "cdk.json", "requirements.txt", "infra/**/*.py", "lambdas/**/*")
STEPS = ("received", "embedding", "indexed")
SETTLED = ("indexed", "partial", "failed", "unsupported")
DEADLINE_SECONDS = 150
CURL_SIGNS = '--aws-sigv4 "aws:amz:us-east-1:execute-api" --user local:local '

console = Console(highlight=False)


class TourError(Exception):
    """The tour cannot go on; one sentence."""


def main() -> int:
    given = read_arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return run(given)
    except KeyboardInterrupt:
        return 130
    except (DataError, PortBusyError, TemplateError, TourError) as error:
        print(error, file=sys.stderr)
        return 2


def _interrupt(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # once is enough: what follows ends every process
    raise KeyboardInterrupt


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--port", type=options.port, default=8080)
    parser.add_argument("--aws-port", type=options.port, default=4566)
    parser.add_argument("--data", type=Path, default=Path(".local"))
    parser.add_argument("--no-samples", action="store_true")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--time-scale", type=clock.read_scale, default=os.environ.get("TIME_SCALE", ""))
    parser.add_argument("--auth", type=options.auth, default=os.environ.get("AUTH", ""))
    return parser.parse_args()


def run(given: argparse.Namespace) -> int:
    laptop = Laptop(  # takes the ports, before anything that lasts
        Settings(
            assembly=given.data / "cdk.out",
            data=given.data,
            layers=layers.BUILT / "host",
            aws_port=given.aws_port,
            port=given.port,
            web=ROOT / "web",
            time_scale=given.time_scale,
            enforce=given.auth == "enforce",
        )
    )
    try:
        synthesize(given.data)
        with console.status("starting the AWS on this laptop …"):
            outputs = laptop.start()
        show_outputs(outputs, given.data)
        well = given.no_samples or visit(outputs)
        if given.once:
            return 0 if well else 1
        invite(outputs, "" if given.auth == "open" else CURL_SIGNS)
        with suppress(KeyboardInterrupt):  # this is how serving ends
            threading.Event().wait()
        return 0
    finally:
        laptop.stop()


# -- the stack ------------------------------------------------------------------------------------------------------


def synthesize(data: Path, **context: Any) -> Path:
    """The cloud assembly in `data`, made anew only when something it is made from changed.

    `context` is what `-c` would say on the CDK command line.
    """
    folder, stamp = data / "cdk.out", data / "cdk.out.stamp"
    context = {**json.loads((ROOT / "cdk.json").read_text())["context"], **context}
    digest = _sources_digest(context)
    if stamp.exists() and stamp.read_text() == digest and (folder / "manifest.json").exists():
        return folder
    with console.status("synthesizing the stack …"):
        data.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "CDK_OUTDIR": str(folder.resolve()),
            "CDK_CONTEXT_JSON": json.dumps(context),
        }
        done = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise TourError(done.stderr.strip() or f"app.py ended with {done.returncode}")
    stamp.write_text(digest)
    return folder


def _sources_digest(context: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(context, sort_keys=True).encode())
    files = (path for pattern in SOURCES for path in sorted(ROOT.glob(pattern)) if path.is_file())
    for path in files:
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    digest.update(" ".join(str(layers.folder(name)) for name in layers.NAMES).encode())
    return digest.hexdigest()


def show_outputs(outputs: dict[str, Any], data: Path) -> None:
    table = Table(title=f"Outputs ({data / 'outputs.json'})", title_justify="left", box=None, show_header=False)
    for name, value in outputs.items():
        table.add_row(Text(name, style="bold"), Text(str(value), overflow="fold"))
    console.print(table)


def invite(outputs: dict[str, Any], signs: str) -> None:
    """The lines to paste into another terminal; `signs` is what makes curl sign its requests."""
    aws, bucket, api = outputs["AwsEndpointUrl"], outputs["MediaBucket"], outputs["ApiUrl"]
    print(
        f"""
Serving until Ctrl-C. From another terminal:

  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1
  aws --endpoint-url {aws} s3 cp my.mp3 s3://{bucket}/
  curl -s {signs}"{api}/assets?prefix=my"
  curl -s {signs}{api}/search --json '{{"query": {{"text": "loud high-pitched alarm"}}}}'

Or drop files on the page, and search there:

  {api}/
""",
        flush=True,
    )


# -- the samples ----------------------------------------------------------------------------------------------------


def visit(outputs: dict[str, Any]) -> bool:
    """Drop the samples and ask the examples; False when a file or an example did not end well."""
    files = sorted(path for path in MEDIA.iterdir() if path.is_file())
    names = [f"{PREFIX}{path.name}" for path in files]
    before = {asset["key"]: asset for asset in list_assets(outputs["ApiUrl"], PREFIX)}
    lines = Progress(names, before, dropped=drop(files, outputs))
    assets = follow(lines, outputs["ApiUrl"])
    lost = [name for name, asset in assets.items() if asset["status"] != "indexed"]
    for name in lost:
        console.print(f"[red]{name} is {assets[name]['status']}: {assets[name].get('reason', 'no reason given')}")
    missed = [example for example in EXAMPLES if not ask(example, outputs["ApiUrl"])]
    found = len(EXAMPLES) - len(missed)
    console.print(
        f"{len(files) - len(lost)} of {len(files)} files searchable, {found} of {len(EXAMPLES)} examples found"
    )
    return not lost and not missed


def drop(files: list[Path], outputs: dict[str, Any]) -> set[str]:
    """Put the files that are not there yet as they are; their keys."""
    dropped: set[str] = set()
    s3 = boto3.client(
        "s3",
        endpoint_url=outputs["AwsEndpointUrl"],
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    for path in files:
        content = path.read_bytes()
        try:
            head = s3.head_object(Bucket=outputs["MediaBucket"], Key=f"{PREFIX}{path.name}")
            if head["ETag"].strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest():
                continue
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
        s3.put_object(Bucket=outputs["MediaBucket"], Key=f"{PREFIX}{path.name}", Body=content)
        dropped.add(f"{PREFIX}{path.name}")
    return dropped


def follow(lines: "Progress", api: str) -> dict[str, dict[str, Any]]:
    """Show a line per file until every one has settled; what became of each."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    with Live(lines.table(), console=console, refresh_per_second=8, transient=not console.is_terminal) as live:
        while not lines.settled:
            for asset in list_assets(api, PREFIX):
                lines.note(asset)
            live.update(lines.table())
            if time.monotonic() > deadline:
                raise TourError(f"not settled after {DEADLINE_SECONDS} s: {', '.join(lines.open)}")
            if not lines.settled:
                time.sleep(0.1)
    return lines.assets


class Progress:
    """What is known of each file; off a terminal each step is printed once as a line of its own."""

    def __init__(self, names: list[str], before: dict[str, dict[str, Any]], dropped: set[str]) -> None:
        """`before` is what was known of files before those of `dropped` were put: of these it is no news."""
        self._before = before
        self._dropped = dropped
        self.assets: dict[str, dict[str, Any]] = {name: {"status": "dropped"} for name in names}
        self._started = time.monotonic()
        self._took: dict[str, float] = {}

    @property
    def open(self) -> list[str]:
        return [name for name, asset in self.assets.items() if asset["status"] not in SETTLED]

    @property
    def settled(self) -> bool:
        return not self.open

    def note(self, asset: dict[str, Any]) -> None:
        key = asset["key"]
        if (
            key not in self.assets
            or self.assets[key] == asset
            or (key in self._dropped and self._before.get(key) == asset)
        ):
            return
        self.assets[asset["key"]] = asset
        if asset["status"] in SETTLED:
            self._took[asset["key"]] = time.monotonic() - self._started
        if not console.is_terminal:
            print(f"{asset['key']:<30} {self._steps(asset)}", flush=True)

    def table(self) -> Table:
        table = Table(box=None, show_header=False)
        for name, asset in self.assets.items():
            style = {"indexed": "green", "failed": "red", "unsupported": "red"}.get(asset["status"], "")
            table.add_row(Text(name), Text(self._steps(asset), style=style))
        return table

    def _steps(self, asset: dict[str, Any]) -> str:
        status = asset["status"]
        if status in ("dropped", "waiting"):
            return f"{status} …"
        if status in ("failed", "unsupported"):
            return f"received → {status}: {asset.get('reason', '')}"
        if status in SETTLED:
            count = asset["segment_count"]
            if self._before.get(asset["key"]) == asset:
                return f"{status} already ({count} segment{'s' if count != 1 else ''})"
            took = f", {self._took[asset['key']]:.1f} s" if asset["key"] in self._took else ""
            return f"received → embedding → {status} ({count} segment{'s' if count != 1 else ''}{took})"
        return " → ".join(STEPS[: STEPS.index(status) + 1]) + " …"


def list_assets(api: str, prefix: str) -> Iterator[dict[str, Any]]:
    token: str | None = None
    while True:
        query = urlencode({"prefix": prefix, **({"next": token} if token else {})}, quote_via=quote)
        page = call("GET", f"{api}/assets?{query}")
        yield from page["assets"]
        token = page.get("next")
        if token is None:
            return


# -- the examples ---------------------------------------------------------------------------------------------------


def ask(example: Example, api: str) -> bool:
    """Show what an example finds; True when the expected file is first, at the expected place."""
    body: dict[str, Any] = {"query": {"text": example.text}, "filter": {"prefix": PREFIX}, "top_k": 3}
    if example.modality:
        body["modalities"] = [example.modality]
    hits = call("POST", f"{api}/search", body)["hits"]
    first = bool(hits) and hits[0]["key"] == PREFIX + example.expected and _lies(hits[0]["segments"][0], example)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("score", "file", "place", "found by"):
        table.add_column(heading, min_width={"file": 24, "place": 13}.get(heading, 6))
    for hit in hits:
        style = "green" if hit["key"] == PREFIX + example.expected else ""
        place, score = place_of(hit["segments"][0]), hit["scores"]["similarity"]
        table.add_row(f"{score:.3f}", Text(hit["key"], style=style), place, ", ".join(hit["found_by"]))
    mark = "[green]✓[/]" if first else f"[red]✗ expected {example.expected}[/]"
    where = example.modality or "everything"
    console.print(Group(f"\n{mark} [bold]{example.text}[/] [dim]in {where}[/]", table))
    return first


def _lies(segment: dict[str, Any], example: Example) -> bool:
    if example.page is not None:
        return bool(segment.get("page") == example.page)
    within = example.within
    return within is None or (within[0] <= segment.get("start", -1) and segment.get("end", -1) <= within[1])


def call(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request of the HTTP API; TourError with its message when it refuses."""
    data = json.dumps(body).encode() if body else None
    signed = AWSRequest(method, url, {"Content-Type": "application/json"}, data)
    SigV4Auth(Credentials("local", "local"), "execute-api", "us-east-1").add_auth(signed)
    request = urllib.request.Request(url, data=data, method=method, headers=dict(signed.headers.items()))
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise TourError(f"{method} {url} answered {error.code}: {error.read().decode(errors='replace')}") from error


if __name__ == "__main__":
    sys.exit(main())
