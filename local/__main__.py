"""`python -m local --assembly cdk.out`: run a synthesized CDK app until Ctrl-C or TERM."""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from local import clock, issuer
from local.bedrock.service import BedrockSettings
from local.http import PortBusyError, port_number
from local.laptop import DataBusyError, Laptop, Settings
from local.stack.template import TemplateError

AUTH = ("open", "enforce")


def read_settings(argv: list[str] | None = None) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--assembly", type=Path, required=True, help="the folder that `cdk synth` wrote")
    parser.add_argument("--stack", help="which of its stacks, if it has several")
    parser.add_argument("--data", type=Path, default=Path(".local"), help="all state (default: .local)")
    parser.add_argument("--layers", type=Path, help="host copies of layers (default: DATA/layers)")
    parser.add_argument("--aws-port", type=port_number, default=4566, help="the AWS APIs (default: 4566)")
    parser.add_argument("--port", type=port_number, default=8080, help="the HTTP API and the page (default: 8080)")
    parser.add_argument("--web", type=Path, help="a folder to serve at /")
    parser.add_argument("--job-seconds", type=float, default=0.5, help="the least time a Bedrock job takes")
    parser.add_argument("--max-jobs", type=int, default=30, help="how many Bedrock jobs run at once")
    parser.add_argument("--requests-per-minute", type=int, default=2000, help="to each Bedrock model (default: 2000)")
    parser.add_argument("--max-batch-jobs", type=int, default=20, help="unfinished ones, of each model (default: 20)")
    parser.add_argument("--batch-min-records", type=int, default=100, help="of a Bedrock batch job (default: 100)")
    parser.add_argument(
        "--older-vector-bucket",
        action="append",
        default=[],
        metavar="NAME",
        help="a vector bucket that counts as made before 30 Sep 2026: its indexes are CLASSIC unless changed, those of "
        "any other can't be; * stands for any part of the name; may be given several times",
    )
    scale = os.environ.get("TIME_SCALE", "")
    parser.add_argument("--time-scale", type=clock.read_scale, default=scale, help="default: TIME_SCALE, or 1")
    parser.add_argument(
        "--auth",
        choices=AUTH,
        default=os.environ.get("AUTH") or AUTH[0],
        help="whether unsigned requests of the HTTP API are the local user's, or refused as on AWS (default: $AUTH)",
    )
    given = parser.parse_args(argv)
    return Settings(
        assembly=given.assembly,
        stack=given.stack,
        data=given.data,
        layers=given.layers or given.data / "layers",
        aws_port=given.aws_port,
        port=given.port,
        web=given.web,
        enforce=given.auth == "enforce",
        older_vector_buckets=tuple(given.older_vector_bucket),
        time_scale=given.time_scale,
        bedrock=BedrockSettings(
            job_seconds=given.job_seconds,
            max_concurrent_jobs=given.max_jobs,
            requests_per_minute=given.requests_per_minute,
            max_batch_jobs=given.max_batch_jobs,
            batch_min_records=given.batch_min_records,
        ),
    )


def main() -> int:
    if sys.argv[1:2] == ["token"]:
        return issuer.main(sys.argv[2:])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        run(read_settings())
    except KeyboardInterrupt:
        return 0
    except (DataBusyError, PortBusyError, TemplateError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(settings: Settings) -> None:
    laptop = Laptop(settings)
    try:
        for name, value in laptop.start().items():
            print(f"{name} = {value}", flush=True)
        threading.Event().wait()
    finally:
        laptop.stop()


def _interrupt(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once, which loses nothing
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
