"""The plan of `make chaos`, and that its account is taken by somebody who knows nothing of us."""

import ast
import sys
from collections import Counter

import pytest

from chaos import __main__ as driver
from chaos.files import KINDS
from chaos.plan import OPERATIONS, Action, plan_of
from local.faults.rules import read_rule


def test_a_seed_repeats_what_is_done_and_what_goes_wrong() -> None:
    plan = plan_of(7, 40, "Stack")
    assert plan == plan_of(7, 40, "Stack")
    assert plan != plan_of(8, 40, "Stack")


@pytest.mark.parametrize("seed", range(5))
def test_as_many_keys_come_about_as_were_asked_for(seed: int) -> None:
    actions = plan_of(seed, 60, "Stack").actions
    assert len({action.key for action in actions if action.verb in ("put", "copy")}) == 60


def test_every_change_and_every_kind_is_among_them_and_all_operations_go_wrong() -> None:
    plan = plan_of(1, 300, "Stack")
    verbs = Counter(action.verb for action in plan.actions)
    assert verbs.keys() == {"put", "delete", "restore", "copy", "tag", "write_sidecar", "delete_sidecar"}
    assert {action.key.partition("/")[0] for action in plan.actions} == {kind.name for kind in KINDS}
    rules = [rule for _, step in plan.steps if not isinstance(step, Action) for rule in step]
    for rule in rules:
        read_rule(rule)
    struck = {(rule["service"], rule["operation"]) for rule in rules if "operation" in rule}
    assert struck == {(service, name) for service, names in OPERATIONS.items() for name in names}


def test_the_account_imports_nothing_of_ours() -> None:
    nodes = ast.walk(ast.parse(driver.ACCOUNT.read_text()))
    names = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    nodes = ast.walk(ast.parse(driver.ACCOUNT.read_text()))
    names |= {node.module or "." * node.level for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == {"boto3"}
