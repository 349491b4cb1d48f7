"""The laptop's own routes below `/_local/`, for whoever wants to disturb it or watch it."""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from werkzeug.wrappers import Request, Response

from local.faults.calls import Entry
from local.faults.faults import Faults
from local.faults.rules import FAULTS, RuleError, read_rule
from local.wire import AwsError, Caller, Service, answer_json, json_response, read_json_value

_COMMON = ("fault", "resource", "rate", "next", "seed")
_ROUTES = {
    "GET /_local/": "this",
    "GET /_local/faults": "the rules, with what is left of them and how often each struck",
    "POST /_local/faults": "add a rule, or a list of rules",
    "DELETE /_local/faults": "remove all rules",
    "DELETE /_local/faults/{id}": "remove one",
    "GET /_local/calls": "how often what was called; ?service= &operation= &caller= &outcome= &fault= choose",
    "DELETE /_local/calls": "count from zero",
}


class Control:
    """`others` answer for the paths that begin with their names."""

    def __init__(self, faults: Faults, others: Mapping[str, Service]) -> None:
        self._faults, self._others = faults, others

    def __call__(self, request: Request, caller: Caller) -> Response:
        for prefix, service in self._others.items():
            if request.path.startswith(prefix):
                return service(request, caller)
        return answer_json(lambda: self._answer(request), _error)

    def _answer(self, request: Request) -> Mapping[str, Any]:
        rules, calls = self._faults.rules, self._faults.calls
        match request.method, request.path.removeprefix("/_local/").split("/"):
            case "GET", [""]:
                return {"routes": _ROUTES, "faults": {name: _described(rule) for name, rule in FAULTS.items()}}
            case "GET", ["faults"]:
                return {"rules": rules.shown()}
            case "POST", ["faults"]:
                return {"rules": self._add(read_json_value(request))}
            case "DELETE", ["faults"]:
                return {"removed": rules.remove(None)}
            case "DELETE", ["faults", rule_id]:
                if not rules.remove(rule_id):
                    raise AwsError("NotFound", f"There is no rule {rule_id}", 404)
                return {"removed": 1}
            case "GET", ["calls"]:
                return calls.shown(_wanted(request))
            case "DELETE", ["calls"]:
                calls.reset()
                return {}
        raise AwsError(
            "NotFound", f"There is no {request.method} {request.path}; GET /_local/ lists what there is", 404
        )

    def _add(self, given: Any) -> list[dict[str, Any]]:
        """All of them, or none where one is wrong."""
        try:
            read = [read_rule(each) for each in (given if isinstance(given, list) else [given])]
        except RuleError as error:
            raise AwsError("BadRule", str(error)) from error
        return [standing.shown() for standing in self._faults.rules.add(read)]


def _wanted(request: Request) -> dict[str, str]:
    known = [field.name for field in fields(Entry)]
    if unknown := sorted(set(request.args) - set(known)):
        raise AwsError("BadQuery", f"Calls have {', '.join(known)}, but no {', '.join(unknown)}")
    return request.args.to_dict()


def _described(rule: type[Any]) -> dict[str, Any]:
    own = [name for name in rule.model_fields if name not in _COMMON]
    return {"what": inspect.getdoc(rule), "takes": [*own, *_COMMON[1:]]}


def _error(error: AwsError) -> Response:
    return json_response({"error": {"code": error.code, "message": error.message}}, error.status)
