"""How often what was called, by whom, and how it ended."""

import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from werkzeug.wrappers import Response

_CODE = re.compile(rb'<Code>([^<]+)</Code>|"__type"\s*:\s*"(?:[^"#]*#)?([^"]+)"')


@dataclass(frozen=True, order=True)
class Entry:
    """`outcome` is `ok`, the error's code, or `no answer`; `fault` what a rule did, empty where none struck."""

    service: str
    operation: str
    caller: str
    outcome: str
    fault: str


class Calls:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._counts: Counter[Entry] = Counter()

    def add(self, entry: Entry) -> None:
        with self._lock:
            self._counts[entry] += 1

    def shown(self, wanted: Mapping[str, str]) -> dict[str, Any]:
        """The counts of the entries that have the `wanted` values."""
        with self._lock:
            counts = sorted(self._counts.items())
        rows = [{**asdict(entry), "count": count} for entry, count in counts]
        rows = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
        return {"total": sum(row["count"] for row in rows), "calls": rows}


def outcome_of(response: Response) -> str:
    """`ok`, or the error's code where the response names one, or its status."""
    if response.status_code < 400:
        return "ok"
    headers = response.headers
    code = headers.get("x-amzn-query-error", "").partition(";")[0] or headers.get("x-amzn-ErrorType", "")
    if not code and not response.is_streamed and (found := _CODE.search(response.get_data())):
        code = (found[1] or found[2]).decode()
    return code or str(response.status_code)
