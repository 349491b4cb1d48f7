"""The door for tokens: what the template has of it, and what is refused before anything is deployed."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.config import ConfigError
from tests.infra.conftest import synthesize
from tests.infra.test_profiles import configured
from tests.infra.test_template import of_type

JWT = {"issuer": "https://login.example/", "audience": ["web"], "claim": "tenant", "origins": ["https://a.example"]}


def test_every_route_of_both_doors_asks_who_it_is(tmp_path: Path) -> None:
    done = synthesize(tmp_path / "cdk.out", CDK_CONTEXT_JSON=json.dumps({"jwt": JWT}))
    assert done.returncode == 0, done.stderr
    template = json.loads((tmp_path / "cdk.out" / "Bucketlens.template.json").read_text())
    routes = of_type(template, "AWS::ApiGatewayV2::Route")
    by_door: dict[str, set[tuple[str, str]]] = {}
    for route in routes:
        by_door.setdefault(route["ApiId"]["Ref"], set()).add((route["RouteKey"], route["AuthorizationType"]))
    iam, web = sorted(by_door.values(), key=lambda door: {"JWT"} & {kind for _, kind in door})
    assert {kind for _, kind in iam} == {"AWS_IAM"} and {kind for _, kind in web} == {"JWT"}
    assert {key for key, _ in iam} == {key for key, _ in web}
    assert template["Outputs"]["WebApiUrl"] != template["Outputs"]["ApiUrl"]
    (table,) = of_type(template, "AWS::DynamoDB::GlobalTable")
    assert "by_owner" in {index["IndexName"] for index in table["GlobalSecondaryIndexes"]}


@pytest.mark.parametrize(
    ("jwt", "sentence"),
    [
        ([], '"jwt" is an object such as'),
        ({"audience": ["web"]}, "jwt.issuer is missing"),
        ({**JWT, "issuer": "http://login.example"}, "jwt.issuer=http://login.example"),
        ({**JWT, "audience": []}, "jwt.audience=[]"),
        ({**JWT, "attributes": "tenant"}, "jwt.attributes is no choice"),
        ({**JWT, "claim": "", "attribute": "tenant"}, "jwt.claim is missing"),
        ({**JWT, "attribute": "Tenant"}, "jwt.attribute=Tenant"),
        ({**JWT, "attribute": "prefix"}, "jwt.attribute=prefix"),
        ({**JWT, "claim": "https://claims.example/tenant"}, "jwt.attribute=https://claims.example/tenant"),
    ],
)
def test_what_could_not_be_compared_is_refused_in_one_sentence(jwt: Any, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(jwt=json.dumps(jwt))
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_the_attribute_is_named_as_the_claim_unless_it_has_a_name() -> None:
    assert configured(jwt=JWT).owners.attribute == "tenant"
    assert configured(jwt={**JWT, "claim": "https://a.example/t", "attribute": "team"}).owners.attribute == "team"
    assert not configured().owners.claim
