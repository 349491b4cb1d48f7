"""Who asks: a role, the local user, or an AWS service on behalf of a resource; and whom a resource policy names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.wire import ACCOUNT, Caller


@dataclass(frozen=True)
class Principal:
    """`arn` is how an error names it; `source` the ARN of the resource that a `service` acts for."""

    arn: str
    role_arn: str | None = None
    service: str | None = None
    source: str | None = None

    @classmethod
    def of(cls, caller: Caller) -> "Principal":
        return cls(caller.arn, caller.role_arn)

    @classmethod
    def of_service(cls, service: str, source: str) -> "Principal":
        """Such as `events.amazonaws.com` for a rule."""
        return cls(service, service=service, source=source)


Names = Callable[[Principal], bool]


def compile_principal(element: Any) -> tuple[Names, Names]:
    """Whether a policy names somebody at all, and whether that alone gives a right.

    Naming the account only lets its own policies decide (IAM user guide, "AWS JSON policy elements: Principal").
    """
    if element == "*":
        return _anybody, _anybody
    if not isinstance(element, Mapping):
        raise ValueError(f"a Principal is an object or *, not {element!r}")
    accounts = [f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT]
    users = _listed(element.get("AWS"))
    services = _listed(element.get("Service"))
    everybody = "*" in users
    account = any(name in accounts for name in users)

    def directly(principal: Principal) -> bool:
        if principal.service:
            return everybody or principal.service in services
        return everybody or principal.arn in users or principal.role_arn in users

    def at_all(principal: Principal) -> bool:
        return directly(principal) or (account and principal.service is None)

    return at_all, directly


def _anybody(principal: Principal) -> bool:
    return True


def _listed(value: str | Sequence[str] | None) -> Sequence[str]:
    return () if value is None else (value,) if isinstance(value, str) else value
