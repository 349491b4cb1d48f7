"""Policy documents, compiled once: which statement speaks of an action on a resource."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.iam.conditions import Condition, UnknownConditionError, compile_conditions
from local.iam.patterns import Facts, Match, action_matcher, resource_matcher
from local.iam.principals import Names, compile_principal

_KNOWN = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal"}


class PolicyError(ValueError):
    """A policy that AWS would refuse, or that cannot be decided here; one sentence."""


@dataclass(frozen=True, eq=False)
class Statement:
    """One statement. `actions` and `resources` are as written, for `names`; a negated list matches as a whole."""

    policy: str
    number: int
    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    text: Mapping[str, Any]
    _actions: tuple[Match, ...]
    _resources: tuple[Match, ...]
    _condition: Condition | None
    named: Names | None
    named_directly: Names | None

    @property
    def id(self) -> str:
        """Stays the same as long as the policy does."""
        return f"{self.policy}#{self.number}"

    @property
    def covers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What `action` and `resource` may answer."""
        actions = (_all_but(self.actions),) if "NotAction" in self.text else self.actions
        return actions, (_all_but(self.resources),) if "NotResource" in self.text else self.resources

    def action(self, action: str) -> str | None:
        """The element of `Action` that covers it."""
        return _covering(self._actions, self.actions, action, {}, "NotAction" in self.text)

    def resource(self, resource: str, facts: Facts) -> str | None:
        """The element of `Resource` that covers it, where the conditions hold too."""
        found = _covering(self._resources, self.resources, resource, facts, "NotResource" in self.text)
        return found if found is not None and (self._condition is None or self._condition(facts)) else None


def _covering(matches: Sequence[Match], texts: Sequence[str], value: str, facts: Facts, negated: bool) -> str | None:
    found = next((text for match, text in zip(matches, texts, strict=True) if match(value, facts)), None)
    if negated:
        return _all_but(texts) if found is None else None
    return found


def _all_but(texts: Sequence[str]) -> str:
    return f"all but {', '.join(texts)}"


def read_policy(name: str, document: Any, default_resource: str | None = None) -> tuple[Statement, ...]:
    """The statements of a document. PolicyError for what is no policy or uses what is not known here.

    `default_resource` is what a statement without a Resource speaks of: trust policies have none.
    """
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise PolicyError(f"{name} is no policy document")
    statements = _listed(document["Statement"])
    try:
        return tuple(_read(name, number, one, default_resource) for number, one in enumerate(statements))
    except (UnknownConditionError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise PolicyError(f"the policy {name} cannot be read: {error}") from error


def read_resource_policy(name: str, document: Any, arn: str) -> tuple[Statement, ...]:
    """As `read_policy`, of a document that also says for whom it speaks."""
    statements = read_policy(name, document, arn)
    if any(statement.named is None for statement in statements):
        raise PolicyError(f"a statement of the policy {name} has no Principal")
    return statements


def _read(policy: str, number: int, text: Mapping[str, Any], default_resource: str | None) -> Statement:
    if unknown := text.keys() - _KNOWN:
        raise ValueError(f"the laptop does not know {', '.join(sorted(unknown))} of a statement")
    if text.get("Effect") not in ("Allow", "Deny"):
        raise ValueError(f"Effect is {text.get('Effect')!r}")
    if ("Action" in text) == ("NotAction" in text):
        raise ValueError("a statement has either Action or NotAction")
    actions = tuple(_listed(text.get("Action", text.get("NotAction"))))
    resources = tuple(_listed(text.get("Resource", text.get("NotResource", default_resource))))
    if not actions or not resources or not all(isinstance(one, str) for one in (*actions, *resources)):
        raise ValueError("a statement names actions and resources")
    if bad := [one for one in actions if one != "*" and ":" not in one]:
        raise ValueError(f"{bad[0]} is no action: it has no service prefix")
    named = compile_principal(text["Principal"]) if "Principal" in text else (None, None)
    return Statement(
        policy,
        number,
        text["Effect"] == "Allow",
        actions,
        resources,
        text,
        tuple(map(action_matcher, actions)),
        tuple(map(resource_matcher, resources)),
        compile_conditions(text.get("Condition") or {}),
        *named,
    )


def _listed(value: Any) -> Sequence[Any]:
    return () if value is None else value if isinstance(value, list) else [value]
