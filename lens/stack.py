"""Which stack is meant: by its outputs or its address, on the laptop and on AWS alike."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session
from botocore.credentials import Credentials

from lens.errors import LensError

ROOT = Path(__file__).parent.parent
OUTPUTS = ("outputs.json", ".local/outputs.json")
"""What `cdk deploy --outputs-file` writes, as the README says it, and the laptop; in this folder or the checkout."""
LAPTOP = Credentials("local", "local")
_REGION = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com")


@dataclass(frozen=True)
class Stack:
    """`outputs` are the stack's, empty where only its address is known. A `token` goes before a signature."""

    api_url: str
    outputs: Mapping[str, str]
    token: str | None = None

    @property
    def is_laptop(self) -> bool:
        return "AwsEndpointUrl" in self.outputs or urlsplit(self.api_url).hostname in ("127.0.0.1", "localhost", "::1")

    @property
    def region(self) -> str:
        found = _REGION.search(self.api_url)
        return found[1] if found else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")

    @property
    def bucket(self) -> str:
        if "MediaBucket" not in self.outputs:
            raise LensError("Which bucket? Name the outputs of the stack with --outputs.")
        return self.outputs["MediaBucket"]

    def credentials(self) -> Credentials:
        """The laptop's own key pair, or what the AWS CLI would use."""
        found = LAPTOP if self.is_laptop else botocore.session.Session().get_credentials()
        if found is None:
            raise LensError("There are no AWS credentials: run `aws configure`, or give a token with --token.")
        return found


def find_stack(api_url: str | None, outputs: Path | None, token: str | None) -> Stack:
    """What was named; else the one stack whose outputs lie where they are written."""
    if outputs is None and api_url is None:
        outputs = _only_one()
    values = _read(outputs) if outputs else {}
    door = "WebApiUrl" if token and "WebApiUrl" in values else "ApiUrl"
    return Stack((api_url or values[door]).rstrip("/"), values, token)


def _only_one() -> Path:
    """Of a stack on AWS and one on the laptop none is the better guess: a file must not go to the wrong one."""
    for folder in dict.fromkeys((Path(), ROOT)):
        found = [folder / name for name in OUTPUTS if (folder / name).is_file()]
        if len(found) > 1:
            raise LensError(f"There are two stacks here: choose one with --outputs {found[0]} or --outputs {found[1]}.")
        if found:
            return found[0]
    raise LensError("There is no stack: start one with `make run`, or name its outputs with --outputs FILE.")


def _read(path: Path) -> dict[str, str]:
    try:
        stacks = json.loads(path.read_text())
    except OSError as error:
        raise LensError(f"{path} can't be read: {str(error.strerror).lower()}.") from error
    except ValueError as error:
        raise LensError(f"{path} is no outputs file: it holds no JSON.") from error
    found = [one for one in stacks.values() if "ApiUrl" in one] if _is_outputs(stacks) else []
    if len(found) != 1:
        raise LensError(f"{path} holds the outputs of {len(found)} stacks that are Bucketlens; one is wanted.")
    outputs: dict[str, str] = found[0]
    return outputs


def _is_outputs(stacks: object) -> bool:
    return isinstance(stacks, dict) and all(isinstance(one, dict) for one in stacks.values())
