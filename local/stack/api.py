"""HTTP APIs: their integrations, routes and stage."""

import hashlib
from dataclasses import replace

from local.gateway_routes import JwtRule
from local.stack.template import Made, Resource, TemplateError
from local.stack.workshop import Integration, Kind, Properties, Workshop


def _api(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties.get("ProtocolType") != "HTTP":
        raise TemplateError("the laptop serves no API but HTTP ones")
    api_id = hashlib.sha256(resource.logical_id.encode()).hexdigest()[:10]
    workshop.apis[api_id] = properties
    return Made(api_id, {"ApiId": api_id, "ApiEndpoint": workshop.services.app_url})


def _integration(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    uri = properties.get("IntegrationUri", "")
    if properties["IntegrationType"] != "AWS_PROXY" or not uri.startswith("arn:aws:lambda:"):
        raise TemplateError("the laptop integrates HTTP APIs with functions only")
    version = properties.get("PayloadFormatVersion", "1.0")
    workshop.integrations[resource.logical_id] = Integration(uri, version)
    return Made(resource.logical_id)


def _authorizer(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties["AuthorizerType"] != "JWT":
        raise TemplateError(f"the laptop does JWT authorizers, not {properties['AuthorizerType']} ones")
    configuration = properties["JwtConfiguration"]
    (source,) = properties["IdentitySource"]
    workshop.authorizers[resource.logical_id] = JwtRule(
        configuration["Issuer"], tuple(configuration["Audience"]), source
    )
    return Made(resource.logical_id, {"AuthorizerId": resource.logical_id})


def _route(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    authorization = properties.get("AuthorizationType", "NONE")
    if "Target" not in properties:
        raise TemplateError("it has no target")
    integration = workshop.integrations[properties["Target"].rpartition("/")[2]]
    if integration.payload_version != "2.0":
        raise TemplateError(f"the laptop sends payload format 2.0, not {integration.payload_version}")
    rule = workshop.authorizers[properties["AuthorizerId"]] if authorization == "JWT" else None
    if rule:
        rule = replace(rule, scopes=tuple(properties.get("AuthorizationScopes", ())))
    route = (properties["RouteKey"], integration.function, authorization, rule)
    workshop.routes.setdefault(properties["ApiId"], []).append(route)
    return Made(resource.logical_id, {"RouteId": resource.logical_id})


def _stage(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties["StageName"] != "$default":
        raise TemplateError(f"the laptop serves the stage $default, not {properties['StageName']}")
    return Made("$default")


KINDS = {
    "AWS::ApiGatewayV2::Api": Kind(
        _api, knows="CorsConfiguration Name ProtocolType", ignores="Description DisableExecuteApiEndpoint"
    ),
    "AWS::ApiGatewayV2::Authorizer": Kind(
        _authorizer, knows="ApiId AuthorizerType IdentitySource JwtConfiguration Name"
    ),
    "AWS::ApiGatewayV2::Integration": Kind(
        _integration, knows="ApiId IntegrationType IntegrationUri PayloadFormatVersion", ignores="Description"
    ),
    "AWS::ApiGatewayV2::Route": Kind(
        _route, knows="ApiId AuthorizationScopes AuthorizationType AuthorizerId RouteKey Target"
    ),
    "AWS::ApiGatewayV2::Stage": Kind(
        _stage, knows="ApiId StageName", ignores="AccessLogSettings AutoDeploy DefaultRouteSettings Description"
    ),
}
