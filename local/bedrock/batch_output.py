"""What a batch inference job has done so far: a file of result lines, which outlives the process that writes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass
class Tally:
    succeeded: int = 0
    failed: int = 0
    input_tokens: int = 0

    @property
    def processed(self) -> int:
        return self.succeeded + self.failed

    def add(self, line: Mapping[str, Any]) -> None:
        if "error" in line:
            self.failed += 1
        else:
            self.succeeded += 1
            self.input_tokens += line["modelOutput"].get("inputTextTokenCount", 0)

    def manifest(self, total: int) -> dict[str, int]:
        """`manifest.json.out`. Nova's answers count no tokens, and no embedding gives out any."""
        return {
            "totalRecordCount": total,
            "processedRecordCount": self.processed,
            "successRecordCount": self.succeeded,
            "errorRecordCount": self.failed,
            "inputTokenCount": self.input_tokens,
            "outputTokenCount": 0,
        }


def resume(path: Path, tally: Tally) -> int:
    """How many whole lines the file has, which the tally counts; what a kill left half written is cut off."""
    path.touch()
    whole = count = 0
    with path.open("rb+") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            tally.add(json.loads(line))
            whole += len(line)
            count += 1
        lines.truncate(whole)
    return count


def to_line(result: Mapping[str, Any]) -> bytes:
    return orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE)
