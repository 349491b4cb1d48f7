"""Templates in YAML, with the short forms of the intrinsic functions (`!Ref`, `!GetAtt a.b`)."""

from datetime import date
from typing import Any

import yaml

_PLAIN = ("Ref", "Condition")


class _Loader(yaml.SafeLoader):
    """A template's own tags are functions of CloudFormation."""


def read_yaml(text: str) -> Any:
    """What the text says; ValueError where it is no YAML."""
    try:
        return _plain(yaml.load(text, _Loader))
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from error


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in _PLAIN else f"Fn::{suffix}": value}


def _plain(value: Any) -> Any:
    """Dates, such as the version of a policy, are text in a template."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


_Loader.add_multi_constructor("!", _function)
