"""Values from a command line or the environment. What makes no sense is refused in one sentence."""

import argparse
import math
import re
from pathlib import Path

AUTH = ("open", "enforce")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")


def auth(text: str) -> str:
    """One of `AUTH`; an empty text is the first."""
    found = text or AUTH[0]
    if found not in AUTH:
        raise argparse.ArgumentTypeError(f"AUTH is {' or '.join(AUTH)}, not {text}")
    return found


def port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text}")
    return int(text)


def count(text: str) -> int:
    """How many of something there may be; none at all would never work."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it is a whole number from 1 on, not {text}")
    return int(text)


def seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"seconds are a number from 0 on, not {text}")
    return found


def region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"a region is named like us-east-1, not {text}")
    return text


def folder(text: str) -> Path:
    """One that exists."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text}")
    return Path(text)


def claim(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"a claim is NAME=VALUE, not {text}")
    return name, value
