"""What the model of scale says of the state machine is what the template says."""

import json
from typing import Any

from infra import waits
from simulation.model import MIX, Limits, Times, files
from simulation.pipeline import simulate


def states_of(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (machine,) = (one for one in template["Resources"].values() if one["Type"] == "AWS::StepFunctions::StateMachine")
    parts = machine["Properties"]["DefinitionString"]["Fn::Join"][1]
    states: dict[str, Any] = json.loads("".join(part if isinstance(part, str) else "" for part in parts))["States"]
    return {**states, **states["Each range of pages"]["ItemProcessor"]["States"]}


def test_every_state_of_the_simulation_is_one_of_the_machine(template: dict[str, Any]) -> None:
    found = simulate(files(MIX, 300), Times(), Limits())
    entered = {name.removeprefix("state ") for name in found.calls if name.startswith("state ")}
    assert "Index the result" in entered and entered <= states_of(template).keys()


def test_a_wait_grows_as_the_simulation_has_it(template: dict[str, Any]) -> None:
    states = states_of(template)
    (choice,) = states["How long?"]["Choices"]
    twice, again = states[states["How long?"]["Default"]], states[choice["Next"]]
    assert twice["Parameters"]["seconds.$"] == "States.MathAdd($.wait.seconds, $.wait.seconds)"
    for seconds in (15, 30, 60, 120, 150, 151, 240, 300):
        is_longest = seconds > choice["NumericGreaterThan"]
        assert waits.longer(seconds) == (again["Parameters"]["seconds"] if is_longest else 2 * seconds)
