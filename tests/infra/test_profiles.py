"""Several profiles in one deployment: what the template gives them, and what is refused before anything is deployed."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from infra.config import Config, ConfigError
from tests.infra.conftest import synthesize
from tests.infra.test_template import actions, of_type, statements

DOCUMENTS = {"documents": {"dimension": 3072}}
RULE = {"kind": "document", "profile": "documents"}


def configured(**context: Any) -> Config:
    return Config.from_context(App(context=context), "us-east-1")


def test_each_profile_has_an_index_with_full_text_that_the_functions_may_use(tmp_path: Path) -> None:
    context = json.dumps({"profiles": DOCUMENTS, "rules": [RULE]})
    done = synthesize(tmp_path / "cdk.out", CDK_CONTEXT_JSON=context)
    assert done.returncode == 0, done.stderr
    template = json.loads((tmp_path / "cdk.out" / "Bucketlens.template.json").read_text())
    indexes = of_type(template, "AWS::S3Vectors::Index")
    assert sorted(index["Dimension"] for index in indexes) == [1024, 3072]
    assert len({index["IndexName"] for index in indexes}) == 2
    assert len(of_type(template, "Custom::IndexTextSearch")) == 2
    granted = [one for one in statements(template) if any(action.startswith("s3vectors:") for action in actions(one))]
    assert len(granted) == 4 and all(len(one["Resource"]) == 2 for one in granted)
    (default,) = (index for index in indexes if index["Dimension"] == 1024)
    assert template["Outputs"]["IndexName"]["Value"] == default["IndexName"]


def test_a_profile_has_the_values_of_the_default_but_for_those_it_says() -> None:
    config = configured(text_chars="2000", profiles=json.dumps(DOCUMENTS), rules=json.dumps([RULE]))
    default, documents = config.profiles.named.values()
    assert (default.dimension, default.text_chars) == (1024, 2000)
    assert (documents.dimension, documents.text_chars) == (3072, 2000)


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"dimension": 500}, "Nova makes 256, 384, 1024 or 3072 numbers, not 500."),
        ({"profiles": {"a": {"dimension": 500}}}, "Nova makes 256, 384, 1024 or 3072 numbers, not 500."),
        ({"segment_seconds": 31}, "-c segment_seconds=31: Input should be less than or equal to 30."),
        (
            {"profiles": {"a": {"segment_seconds": 31}}},
            "profiles.a.segment_seconds=31: Input should be less than or equal to 30.",
        ),
        (
            {"profiles": {"a": {"dimenson": 256}}},
            "profiles.a.dimenson is no choice; the choices are model_id",
        ),
        ({"profiles": {"a": {"model_id": "titan"}}}, "The model titan is not known; known are amazon.nova"),
        ({"profiles": {"a": {}}}, "The profiles default and a are the same: one is enough."),
        ({"profiles": {"default": {"dimension": 256}}}, "'default' names no profile"),
        ({"profiles": {"A b": {"dimension": 256}}}, "'A b' names no profile"),
        ({"profiles": ["documents"]}, '"profiles" is an object such as'),
        ({"profiles": {"a": 256}}, '"profiles" is an object such as'),
        ({"profiles": "{"}, "-c profiles={: this is no JSON."),
        ({"rules": {"documents": "contracts/"}}, '"rules" is a list such as'),
        ({"rules": ["documents"]}, '"rules" is a list such as'),
        ({"rules": [RULE]}, "rules[0] names the profile 'documents'; there is default."),
        ({"rules": [{"prefix": "a/"}]}, "rules[0].profile is missing; the choices are profile, prefix"),
        ({"rules": [{"profile": "default"}]}, "rules[0] fits every file: it needs a prefix"),
        ({"rules": [{"profile": "default", "prefix": ""}]}, "rules[0] fits every file: it needs a prefix"),
        ({"rules": [{"profile": "default", "suffix": "a"}]}, "rules[0].suffix is no choice; the choices are profile"),
        (
            {"rules": [{"profile": "default", "kind": "video"}]},
            "rules[0].kind=video: Input should be 'text', 'image', 'document' or 'media'.",
        ),
        ({"rules": [{"profile": "default", "attribute": {"a": []}}]}, "rules[0].attribute=[]: "),
        (
            {"rules": [{"profile": "default", "prefix": f"{n:0100}/"} for n in range(40)]},
            "bytes of a function's environment; 3,000 is the most.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(context: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(**context)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
