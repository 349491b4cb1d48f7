"""An AWS on this machine, until Ctrl-C or TERM."""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from local import clock, issuer, options
from local.app import synthesize
from local.bedrock.service import BedrockSettings
from local.http import PortBusyError
from local.laptop import DataError, Laptop, Settings
from local.stack.assembly import DEFAULT_REGION
from local.stack.template import TemplateError


def read_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, default=Path(".local"), help="all state (default: .local)")
    common.add_argument("--layers", type=Path, help="host copies of layers (default: DATA/layers)")
    common.add_argument("--aws-port", type=options.port, default=4566, help="the AWS APIs (default: 4566)")
    common.add_argument("--port", type=options.port, default=8080, help="the HTTP API and the page (default: 8080)")
    common.add_argument("--web", type=options.folder, help="a folder to serve at /")
    common.add_argument(
        "--region",
        type=options.region,
        default=DEFAULT_REGION,
        help="where it says it is, unless an app says otherwise",
    )
    common.add_argument("--job-seconds", type=options.seconds, default=0.5, help="the least time a Bedrock job takes")
    common.add_argument("--max-jobs", type=options.count, default=30, help="how many Bedrock jobs run at once")
    common.add_argument(
        "--requests-per-minute", type=options.count, default=2000, help="to each Bedrock model (default: 2000)"
    )
    common.add_argument(
        "--max-batch-jobs", type=options.count, default=20, help="unfinished ones, of each model (default: 20)"
    )
    common.add_argument(
        "--batch-min-records", type=options.count, default=100, help="of a Bedrock batch job (default: 100)"
    )
    common.add_argument(
        "--older-vector-bucket",
        action="append",
        default=[],
        metavar="NAME",
        help="a vector bucket that counts as made before 30 Sep 2026: its indexes are CLASSIC unless changed, those of "
        "any other can't be; * stands for any part of the name; may be given several times",
    )
    scale = os.environ.get("TIME_SCALE", "")
    common.add_argument("--time-scale", type=clock.read_scale, default=scale, help="default: TIME_SCALE, or 1")
    common.add_argument(
        "--auth",
        type=options.auth,
        default=os.environ.get("AUTH", ""),
        metavar="{open,enforce}",
        help="whether unsigned requests of the HTTP API are the local user's, or refused as on AWS (default: $AUTH)",
    )
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    modes.add_parser("aws", parents=[common], help="the AWS alone, with what was deployed to it")
    run = modes.add_parser("run", parents=[common], help="the AWS with the stack of a CDK app")
    what = run.add_mutually_exclusive_group(required=True)
    what.add_argument("--app", type=Path, help="the folder of the app, with its cdk.json")
    what.add_argument("--assembly", type=Path, help="the folder that `cdk synth` wrote")
    run.add_argument("--stack", help="which of its stacks, if it has several")
    modes.add_parser("token", add_help=False, help="print a token of the laptop's own issuer, for JWT authorizers")
    return parser.parse_args(argv)


def settings_for(given: argparse.Namespace) -> Settings:
    """The app, where there is one, is synthesized into DATA/cdk.out."""
    assembly = stack = None
    if given.mode == "run":
        assembly, stack = given.assembly or given.data / "cdk.out", given.stack
    return Settings(
        assembly=assembly,
        stack=stack,
        region=given.region,
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
        run(read_arguments())
    except KeyboardInterrupt:
        return 0
    except (DataError, PortBusyError, TemplateError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(given: argparse.Namespace) -> None:
    settings = settings_for(given)
    laptop = Laptop(settings)  # takes the ports, before anything that lasts
    try:
        if given.mode == "run" and given.app:
            synthesize(given.app, given.data / "cdk.out", given.region)
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
