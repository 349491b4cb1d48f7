"""A state's data on its way: InputPath, payload templates, ResultPath, OutputPath, and how large it may be."""

import json
from typing import Any

from local.stepfunctions import intrinsics, jsonpath
from local.stepfunctions.jsonpath import Json, PathError

MAX_CAUSE = 32_768
MAX_BYTES = 262_144  # of a payload as UTF-8 JSON: Step Functions quotas


class StateFailure(Exception):
    """A state failed with a States Language error; `also` are further names that match it in Retry and Catch."""

    def __init__(self, error: str | None, cause: str | None = None, also: str | None = None) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause if cause is None else cause[:MAX_CAUSE]
        self.also = also

    def output(self) -> dict[str, str]:
        """What a Catch hands on."""
        return {name.capitalize(): text for name, text in self.details().items()}

    def details(self) -> dict[str, str]:
        """What the history tells of it."""
        found = {"error": self.error, "cause": self.cause}
        return {name: text for name, text in found.items() if text is not None}


def dump(value: Json) -> str:
    """JSON as Step Functions writes it: compact, characters as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def check_size(text: str, subject: str) -> None:
    if size(text) > MAX_BYTES:
        cause = f"{subject} with a size exceeding the maximum number of bytes service limit."
        raise StateFailure("States.DataLimitExceeded", cause)


def select(path: str | None, document: Json, context: Json) -> Json:
    """InputPath and OutputPath: None (JSON's null) gives an empty object."""
    return {} if path is None else jsonpath.read(jsonpath.parse(path), document, context)


def build(template: Json, document: Json, context: Json) -> Json:
    """A payload template (Parameters, ResultSelector, ItemSelector) filled in."""
    match template:
        case dict():
            return dict(_field(name, value, document, context) for name, value in template.items())
        case list():
            return [build(item, document, context) for item in template]
        case _:
            return template


def _field(name: str, value: Json, document: Json, context: Json) -> tuple[str, Json]:
    if not name.endswith(".$"):
        return name, build(value, document, context)
    expression = intrinsics.parse(value)
    try:
        return name[:-2], intrinsics.evaluate(expression, document, context)
    except PathError as error:
        if not isinstance(expression, jsonpath.Path):
            raise
        shown = dump(context if expression.context else document)
        message = f"The JSONPath '{value}' specified for the field '{name}' could not be found in the input '{shown}'"
        raise PathError(message) from error


def merge(state: dict[str, Any], raw: Json, result: Json) -> Json:
    """ResultPath: the result put into the state's raw input; null keeps the input and drops the result."""
    path = state.get("ResultPath", "$")
    if path is None:
        return raw
    try:
        return jsonpath.write(jsonpath.parse(path), raw, result)
    except PathError as error:
        raise StateFailure("States.ResultPathMatchFailure", str(error)) from error
