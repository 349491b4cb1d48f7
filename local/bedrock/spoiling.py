"""Segments that fail because a fault was asked for: lines of the model's, replaced before they are published."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from local.faults.rules import FailSegment


def spoil(output: Path, written: Mapping[str, Any], failure: Callable[[], FailSegment | None]) -> Mapping[str, Any]:
    """Ask `failure` for each segment. What is in `output` then, as the model says it; what failed already stays."""
    failures = {number: rule for number in range(written["segments"]) if (rule := failure())}
    if not failures:
        return written
    lines = output.read_bytes().splitlines(keepends=True)
    told = dict(written)
    for number, rule in failures.items():
        line = orjson.loads(lines[number])
        if line["status"] == "SUCCESS":
            line = {"segmentMetadata": line["segmentMetadata"], "status": "FAILURE"}
            line |= {"failureReason": rule.reason, "message": rule.message}
            lines[number] = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
            told["failed"] += 1
            if not told["message"]:
                told |= {"message": rule.message, "reason": rule.reason}
    output.write_bytes(b"".join(lines))
    return told
