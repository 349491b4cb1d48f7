"""The Condition element of a statement (IAM user guide, "IAM JSON policy elements: Condition operators")."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from local.iam.patterns import Facts, arn_matcher, text_matcher

Condition = Callable[[Facts], bool]
_Test = Callable[[str, Facts], bool]  # does a value of the request fit a value of the policy

# What a request of the laptop's services can be asked about; a policy that asks for more would be decided wrongly.
KNOWN_KEYS = re.compile(
    r"aws:(SourceArn|SourceAccount|SourceIp|SecureTransport|PrincipalArn|PrincipalAccount|PrincipalType"
    r"|PrincipalIsAWSService|PrincipalServiceName|PrincipalOrgID|PrincipalOrgPaths|SourceOrgID|RequestedRegion"
    r"|ResourceAccount|CurrentTime|EpochTime|UserAgent|username|userid|ViaAWSService|CalledVia"
    r"|CalledViaFirst|CalledViaLast|SourceVpc|SourceVpce|VpcSourceIp|MultiFactorAuthPresent)"
    r"|s3:(prefix|delimiter|max-keys|TlsVersion|authType|signatureversion|VersionId|x-amz-[\w-]+|if-match|if-none-match)"
    r"|kms:(ViaService|CallerAccount)|iam:PassedToService|lambda:FunctionArn"
    r"|events:(source|detail-type)|states:StateMachineQualifier|s3vectors:(sseType|kmsKeyArn)",
    re.IGNORECASE,
)


class UnknownConditionError(ValueError):
    """An operator or key that cannot be decided here; the sentence names it."""


def compile_conditions(element: Mapping[str, Any]) -> Condition | None:
    """True where every operator holds for every key of it; None without any."""
    tests = [
        _compile(operator, key, [_text(value) for value in (values if isinstance(values, list) else [values])])
        for operator, keys in element.items()
        for key, values in keys.items()
    ]
    return (lambda facts: all(test(facts) for test in tests)) if tests else None


def _compile(operator: str, key: str, expected: list[str]) -> Condition:
    if not KNOWN_KEYS.fullmatch(key):
        raise UnknownConditionError(f"the laptop does not know the condition key {key}")
    name = key.lower()
    if operator == "Null":
        wanted = {text.lower() == "true" for text in expected}
        return lambda facts: (not facts.get(name)) in wanted
    quantifier, _, plain = operator.rpartition(":")
    base = plain.removesuffix("IfExists")
    negated = _NEGATED.get(base)
    make = _OPERATORS.get(negated or base)
    if make is None or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise UnknownConditionError(f"the laptop does not know the condition operator {operator}")
    try:
        tests = [make(value) for value in expected]
    except ValueError as error:
        raise UnknownConditionError(f"{operator} of {key} is compared with {expected}: {error}") from error
    optional = plain != base

    def fits(value: str, facts: Facts) -> bool:
        return any(test(value, facts) for test in tests) is not bool(negated)

    def holds(facts: Facts) -> bool:
        values = facts.get(name, ())
        if not values:
            return optional or quantifier == "ForAllValues" or (bool(negated) and not quantifier)
        return (any if quantifier == "ForAnyValue" else all)(fits(value, facts) for value in values)

    return holds


def _string_equals(expected: str) -> _Test:
    if "${" in expected:  # only variables are special here
        return text_matcher(re.sub(r"[*?]", r"${\g<0>}", expected))
    return lambda value, _: value == expected


def _equals_ignoring_case(expected: str) -> _Test:
    return lambda value, _: value.lower() == expected.lower()


def _bool(expected: str) -> _Test:
    return lambda value, _: value.lower() == expected.lower()


def _comparison(read: Callable[[str], Any], holds: Callable[[Any, Any], bool]) -> Callable[[str], _Test]:
    def make(expected: str) -> _Test:
        bound = read(expected)

        def test(value: str, _: Facts) -> bool:
            try:
                return holds(read(value), bound)
            except ValueError:  # what is no number or date is neither more nor less nor the same
                return False

        return test

    return make


def _date(text: str) -> float:
    """Epoch seconds, of an ISO 8601 date or of seconds."""
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _ip_address(expected: str) -> _Test:
    network = ipaddress.ip_network(expected, strict=False)
    return lambda value, _: ipaddress.ip_address(value) in network


_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda value, bound: value == bound,
    "LessThan": lambda value, bound: value < bound,
    "LessThanEquals": lambda value, bound: value <= bound,
    "GreaterThan": lambda value, bound: value > bound,
    "GreaterThanEquals": lambda value, bound: value >= bound,
}
_OPERATORS: Mapping[str, Callable[[str], _Test]] = {
    "StringEquals": _string_equals,
    "StringEqualsIgnoreCase": _equals_ignoring_case,
    "StringLike": text_matcher,
    "ArnEquals": arn_matcher,
    "ArnLike": arn_matcher,
    "Bool": _bool,
    "IpAddress": _ip_address,
    **{f"Numeric{name}": _comparison(float, holds) for name, holds in _COMPARED.items()},
    **{f"Date{name}": _comparison(_date, holds) for name, holds in _COMPARED.items()},
}
_NEGATED: Mapping[str, str] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def with_values(values: Mapping[str, str | Sequence[str] | None]) -> Facts:
    """A request context, with the keys in lower case; what is None is absent."""
    return {
        name.lower(): (value,) if isinstance(value, str) else tuple(value)
        for name, value in values.items()
        if value is not None
    }
