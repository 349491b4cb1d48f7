"""Whether a template is written as templates are: what each part of it is, and what each function in it is given."""

from collections.abc import Callable, Mapping
from typing import Any

from local.stack.template import TemplateError

_SECTIONS = ("Conditions", "Mappings", "Outputs", "Parameters", "Resources")
_TEXTS = ("Condition", "DeletionPolicy", "Type", "UpdateReplacePolicy")


def _text(given: Any) -> bool:
    return isinstance(given, str)


def _list(given: Any) -> bool:
    return isinstance(given, list)


def _listed(count: int) -> Callable[[Any], bool]:
    return lambda given: isinstance(given, list) and len(given) == count


def _attribute(given: Any) -> bool:
    """`A.Arn` or `[A, Arn]`."""
    parts = given.partition(".")[::2] if isinstance(given, str) else given
    return isinstance(parts, tuple | list) and len(parts) == 2 and all(part and _text(part) for part in parts)


def _substitution(given: Any) -> bool:
    """A text, or a text and what stands for the names in it."""
    return _text(given) or (_listed(2)(given) and _text(given[0]) and isinstance(given[1], dict))


def _joined(given: Any) -> bool:
    return _listed(2)(given) and _text(given[0]) and isinstance(given[1], dict | list)


def _chosen(given: Any) -> bool:
    return _listed(3)(given) and _text(given[0])


_FUNCTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "Ref": (_text, "every Ref object must have a single String value."),
    "Fn::GetAtt": (
        _attribute,
        "every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute",
    ),
    "Fn::Sub": (
        _substitution,
        "One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first argument, "
        "and an optional second argument to specify a mapping of values to replace in the string",
    ),
    "Fn::Join": (
        _joined,
        "every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be joined",
    ),
    "Fn::Select": (_listed(2), "every Fn::Select object requires two parameters, an index and a list"),
    "Fn::Split": (_listed(2), "every Fn::Split object requires two parameters, a string delimiter and a string"),
    "Fn::If": (_chosen, "every Fn::If object requires three parameters, the name of a condition and two values"),
    "Fn::FindInMap": (_listed(3), "every Fn::FindInMap object requires three parameters, the map name and two keys"),
    "Fn::Equals": (_listed(2), "every Fn::Equals object requires a list of 2 string parameters."),
    "Fn::Not": (_listed(1), "every Fn::Not object requires one boolean parameter."),
    "Fn::And": (_list, "every Fn::And object requires a list of boolean parameters."),
    "Fn::Or": (_list, "every Fn::Or object requires a list of boolean parameters."),
}


def check_form(template: Mapping[str, Any]) -> None:
    """TemplateError, in CloudFormation's words where they are known, for the first part that is no such thing."""
    for section in _SECTIONS:
        _check_section(section, template.get(section, {}))
    for logical_id, body in template.get("Resources", {}).items():
        _check_resource(logical_id, body)
    for name, declared in template.get("Parameters", {}).items():
        if not _text(declared.get("Type")):
            raise TemplateError(f"Template format error: Every Parameters object must contain a Type member: {name}.")
    for name, output in template.get("Outputs", {}).items():
        _check_output(name, output)
    for name, test in template.get("Conditions", {}).items():
        _check_test(template["Conditions"], test, (name,))


def _check_section(section: str, members: Any) -> None:
    if not isinstance(members, dict):
        raise TemplateError(f"Template format error: {section} must be an object.")
    for name, member in members.items():
        if not isinstance(member, dict):
            raise TemplateError(f"Template format error: Any {section} member must be an object: {name} is none.")


def _check_output(name: str, output: dict[str, Any]) -> None:
    if "Value" not in output:
        raise TemplateError(f"Template format error: Every Outputs member must contain a Value object: {name}.")
    if not _text(output.get("Condition", "")):
        raise TemplateError(f"Template format error: Every Condition member must be a string: that of {name}.")
    _check_functions(output)


def _check_resource(logical_id: str, body: dict[str, Any]) -> None:
    if "Type" not in body:
        raise TemplateError(f"Template format error: Resource {logical_id} must have a Type.")
    for name in _TEXTS:
        if not _text(body.get(name, "")):
            raise TemplateError(f"Template format error: Every {name} member must be a string: that of {logical_id}.")
    needs = body.get("DependsOn", [])
    if not all(map(_text, needs if isinstance(needs, list) else [needs])):
        raise TemplateError(f"Template format error: DependsOn must be a string or list of strings: {logical_id}.")
    properties = body.get("Properties", {})
    if not isinstance(properties, dict):
        raise TemplateError(f"Template format error: Any Properties member must be an object: that of {logical_id}.")
    _check_functions(properties)


def _check_functions(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_functions(item)
    elif isinstance(value, dict):
        for name, given in value.items():
            if len(value) == 1 and name in _FUNCTIONS and not _FUNCTIONS[name][0](given):
                raise TemplateError(f"Template error: {_FUNCTIONS[name][1]}")
            _check_functions(given)


def _check_test(conditions: Mapping[str, Any], test: Any, asking: tuple[str, ...]) -> None:
    """A condition or a part of one; `asking` are the names of those that ask for it."""
    if not isinstance(test, dict) or len(test) != 1:
        raise TemplateError(f"Template format error: The condition {asking[-1]} must be one function.")
    _check_functions(test)
    ((name, given),) = test.items()
    if name in ("Fn::And", "Fn::Or", "Fn::Not"):
        for part in given:
            _check_test(conditions, part, asking)
    elif name == "Condition":
        if not _text(given):
            raise TemplateError("Template error: every Condition object must have a single String value.")
        if given in asking:
            raise TemplateError(f"Template format error: The condition {given} depends on itself in a circle.")
        if given in conditions:
            _check_test(conditions, conditions[given], (*asking, given))
