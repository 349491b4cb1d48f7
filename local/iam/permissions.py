"""Who may do what: asked by the AWS door for every request, and by services for what they do for each other."""

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from werkzeug.wrappers import Request

from local import clock
from local.iam.conditions import with_values
from local.iam.errors import Reason, denial
from local.iam.needs import BY_SERVICE, Need, Question, unknown_needs
from local.iam.needs_s3 import s3_needs
from local.iam.patterns import Facts
from local.iam.principals import Principal
from local.iam.roles import Holder, Holders
from local.iam.statements import PolicyError, Statement, read_policy, read_resource_policy
from local.operations import asked_of
from local.others import MadeRole, made_role
from local.wire import ACCOUNT, AwsError, Caller

log = logging.getLogger(__name__)

_OWN = "policy"  # the source of what a service keeps as its resource's policy
_UNDOING = {
    *("s3vectors:DeleteVectorBucketPolicy", "s3vectors:GetVectorBucketPolicy", "s3vectors:PutVectorBucketPolicy"),
    "sqs:SetQueueAttributes",
}
"""What the account's root may do on AWS whatever the resource's policy says, so that nothing is locked for ever."""
_PREFIXES = {"monitoring": "cloudwatch", "email": "ses"}  # where actions are called otherwise than requests are signed


@dataclass(frozen=True)
class Use:
    """That a role used a right: which elements of which statement gave it."""

    role_arn: str
    statement: str
    action: str
    resource: str


class Permissions:
    """The local user may do everything that no resource policy denies, and undo one; a role what its policies allow.

    `roles` and `resources` are those of templates; what `made` finds was made through the IAM API.
    """

    def __init__(self, region: str = "us-east-1", made: Callable[[str], MadeRole | None] = made_role) -> None:
        self._region, self._made = region, made
        self.roles, self.resources = Holders(), Holders()
        self.machine_of_token: Callable[[str], str | None] = lambda token: None
        self._lock = threading.Lock()
        self._used: Counter[Use] = Counter()

    def set_policy(self, arn: str, text: str | None) -> None:
        """What a resource's policy (JSON) is from now on, None for none. PolicyError for a text that is no policy."""
        if text is None:
            self.resources.drop(arn, _OWN)
        else:
            self.resources.put(arn, _OWN, read_resource_policy(arn, _json(text), arn))

    def knows(self, role_arn: str) -> bool:
        return self.roles.get(role_arn) is not None or self._made(role_arn) is not None

    def used(self) -> Mapping[Use, int]:
        """How often each right was used."""
        with self._lock:
            return dict(self._used)

    def check(self, service: str, request: Request, caller: Caller) -> None:
        """Raise the service's error for a request that its signer may not make."""
        if caller.role_arn is None and not self._has_policies(service):
            return
        principal = Principal.of(caller)
        try:
            needs = list(self._needs(service, request, caller))
        except AwsError:
            if caller.role_arn is None:
                return  # the service says in its own way what is wrong with the body
            raise
        for need in needs:
            if refused := self.refusal(service, principal, need, request):
                raise refused

    def refusal(
        self, service: str, principal: Principal, need: Need, request: Request | None = None
    ) -> AwsError | None:
        """The service's error where the principal lacks the right; the log names who lacked what."""
        facts = _Facts(lambda: _facts(principal, need, request, self._region))
        why = ""
        try:
            reason = self._reason(principal, need, facts)
        except PolicyError as unread:  # of the IAM API, which takes what is not known here
            reason, why = "no identity-based", f": {unread}"
        if reason is None:
            return None
        error = denial(service, principal, need, reason, why)
        log.warning("%s: %s", error.code, error.message)
        return error

    def _needs(self, service: str, request: Request, caller: Caller) -> Iterable[Need]:
        asked = asked_of(service, request)
        if asked is None:
            return () if caller.role_arn is None else (Need(f"{service}:*", "*"),)
        question = Question(asked, request, self._region, self.machine_of_token)
        needs = s3_needs if service == "s3" else BY_SERVICE.get(service, unknown_needs)
        prefix = _PREFIXES.get(service)
        return [_renamed(need, prefix) for need in needs(question)] if prefix else needs(question)

    def _has_policies(self, service: str) -> bool:
        """Whether one of its resources has, so that even the local user may be refused."""
        return any(arn.split(":")[2] == service for arn in self.resources.all())

    def _reason(self, principal: Principal, need: Need, facts: Facts) -> Reason | None:
        """IAM user guide, "Policy evaluation logic", for one account."""
        own = self._role(principal.role_arn) if principal.role_arn else None
        policy = self.resources.get(_owner_of(need.resource))
        if need.action == "sts:AssumeRole" and policy is None:
            policy = self._trust(need.resource)
        if own and _first(own.speaking(need.action).denials, need, facts):
            return "identity-based"
        local_user = principal.service is None and principal.role_arn is None
        if local_user and need.action in _UNDOING:
            return None
        if policy and any(_named(policy, principal, need, facts, allows=False)):
            return "resource-based"
        if local_user or (own and self._given(own, principal, need, facts)):
            return None
        if policy and any(_named(policy, principal, need, facts, allows=True)):
            return None
        return "no resource-based" if principal.service else "no identity-based"

    def _role(self, arn: str) -> Holder | None:
        known = self.roles.get(arn)
        made = None if known else self._made(arn)
        return _compiled(made) if made else known

    def _trust(self, arn: str) -> Holder | None:
        made = self._made(arn)
        return _compiled_trust(arn, made) if made else None

    def _given(self, own: Holder, principal: Principal, need: Need, facts: Facts) -> bool:
        found = _first(own.speaking(need.action).allowances, need, facts)
        if found is None:
            return False
        statement, action, resource = found
        with self._lock:
            self._used[Use(str(principal.role_arn), statement.id, action, resource)] += 1
        return True


@lru_cache(maxsize=256)
def _compiled(made: MadeRole) -> Holder:
    """Compiled once for what its policies say now, so that a change counts at once."""
    if made.boundary:
        raise PolicyError("the laptop does not know permissions boundaries")
    return Holder({name: read_policy(name, _json(text)) for name, text in made.policies})


@lru_cache(maxsize=256)
def _compiled_trust(arn: str, made: MadeRole) -> Holder:
    return Holder({arn: read_resource_policy(arn, _json(made.trust), arn)})


def _first(speaking: Sequence[tuple[Statement, str]], need: Need, facts: Facts) -> tuple[Statement, str, str] | None:
    for statement, action in speaking:
        if (resource := statement.resource(need.resource, facts)) is not None:
            return statement, action, resource
    return None


def _named(policy: Holder, principal: Principal, need: Need, facts: Facts, allows: bool) -> Iterator[Statement]:
    """The statements of a resource's policy that decide for this principal."""
    speaking = policy.speaking(need.action)
    for statement, _ in speaking.allowances if allows else speaking.denials:
        names = statement.named_directly if allows else statement.named
        if names and names(principal) and statement.resource(need.resource, facts) is not None:
            yield statement


def _owner_of(resource: str) -> str:
    """The ARN under which a resource's policy is kept: its bucket's or function's."""
    service = resource.split(":", 3)[2:3]
    if service == ["s3"]:
        return resource.partition("/")[0]
    if service == ["s3vectors"]:
        return resource.partition("/index/")[0]
    if service == ["lambda"]:
        return ":".join(resource.split(":")[:7])
    return resource


class _Facts(Mapping[str, Sequence[str]]):
    """Made when a policy first asks for one: most never do."""

    def __init__(self, make: Callable[[], Facts]) -> None:
        self._make = make
        self._made: Facts | None = None

    def _all(self) -> Facts:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, name: str) -> Sequence[str]:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def _facts(principal: Principal, need: Need, request: Request | None, region: str) -> Facts:
    """The global condition keys. A request to the laptop stands for one over TLS."""
    now = clock.now()
    role = principal.role_arn
    return with_values(
        {
            "aws:CurrentTime": clock.iso(now),
            "aws:EpochTime": str(int(now)),
            "aws:PrincipalArn": None if principal.service else role or principal.arn,
            "aws:PrincipalAccount": None if principal.service else ACCOUNT,
            "aws:PrincipalType": None if principal.service else "AssumedRole" if role else "User",
            "aws:PrincipalIsAWSService": "true" if principal.service else "false",
            "aws:PrincipalServiceName": principal.service,
            "aws:username": None if role or principal.service else "local",
            "aws:RequestedRegion": region,
            "aws:ResourceAccount": ACCOUNT,
            "aws:SecureTransport": "true",
            "aws:SourceAccount": ACCOUNT if principal.source else None,
            "aws:SourceArn": principal.source,
            "aws:SourceIp": request.remote_addr if request else None,
            "aws:UserAgent": request.headers.get("User-Agent") if request else None,
            "aws:ViaAWSService": "false",
            **need.values(),
        }
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise PolicyError(f"the policy is not JSON: {error}") from error


def _renamed(need: Need, prefix: str) -> Need:
    return Need(f"{prefix}:{need.action.partition(':')[2]}", need.resource, need.values)
