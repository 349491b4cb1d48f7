"""HTTP APIs: their integrations, routes and stage."""

from dataclasses import replace

from local.gateway_routes import JwtRule
from local.stack.template import Made, Resource, TemplateError
from local.stack.workshop import Integration, Kind, Properties, Way, Workshop


def _api(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties.get("ProtocolType") != "HTTP":
        raise TemplateError("the laptop serves no API but HTTP ones")
    api_id = workshop.digest(resource)[:10]
    workshop.apis[api_id] = properties
    return Made(api_id, {"ApiId": api_id, "ApiEndpoint": workshop.services.app_url})


def _integration(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    uri = properties.get("IntegrationUri", "")
    if properties["IntegrationType"] != "AWS_PROXY" or not uri.startswith("arn:aws:lambda:"):
        raise TemplateError("the laptop integrates HTTP APIs with functions only")
    version = properties.get("PayloadFormatVersion", "1.0")
    integration_id = workshop.digest(resource)[:7]
    workshop.integrations[integration_id] = Integration(uri, version)
    return Made(integration_id)


def _authorizer(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties["AuthorizerType"] != "JWT":
        raise TemplateError(f"the laptop does JWT authorizers, not {properties['AuthorizerType']} ones")
    configuration = properties["JwtConfiguration"]
    (source,) = properties["IdentitySource"]
    authorizer_id = workshop.digest(resource)[:7]
    rule = JwtRule(configuration["Issuer"], tuple(configuration["Audience"]), source)
    workshop.services.authorizers[authorizer_id] = rule
    return Made(authorizer_id, {"AuthorizerId": authorizer_id})


def _route(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    authorization = properties.get("AuthorizationType", "NONE")
    if "Target" not in properties:
        raise TemplateError("it has no target")
    integration = _integration_of(workshop, properties["Target"])
    if integration.payload_version != "2.0":
        raise TemplateError(f"the laptop sends payload format 2.0, not {integration.payload_version}")
    way = Way(
        properties["ApiId"],
        properties["RouteKey"],
        properties["Target"],
        authorization,
        properties["AuthorizerId"] if authorization == "JWT" else None,
        tuple(properties.get("AuthorizationScopes", ())),
    )
    _rule_of(workshop, way)
    route_id = workshop.digest(resource)[:7]
    workshop.routes[route_id] = way
    return Made(route_id, {"RouteId": route_id})


def _integration_of(workshop: Workshop, target: str) -> Integration:
    return workshop.integrations[target.rpartition("/")[2]]


def _rule_of(workshop: Workshop, way: Way) -> JwtRule | None:
    """TemplateError for an authorizer that is not there."""
    if way.authorizer is None:
        return None
    if way.authorizer not in workshop.services.authorizers:
        raise TemplateError(f"the authorizer {way.authorizer} is none of a stack")
    return replace(workshop.services.authorizers[way.authorizer], scopes=way.scopes)


def _stage(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties["StageName"] != "$default":
        raise TemplateError(f"the laptop serves the stage $default, not {properties['StageName']}")
    return Made("$default")


def serve_apis(workshop: Workshop) -> None:
    """Bring the gateway in line with the stack's APIs; raises UnsupportedApiError for what it does not do."""
    for api_id, properties in workshop.apis.items():
        routes = [
            (way.key, _integration_of(workshop, way.target).function, way.authorization, _rule_of(workshop, way))
            for way in workshop.routes.values()
            if way.api_id == api_id
        ]
        workshop.services.gateway.add_api(api_id, properties, routes, properties.get("CorsConfiguration"))


def _delete_api(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.apis.pop(physical_id, None)
    workshop.services.gateway.remove_api(physical_id)


def _delete_authorizer(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.services.authorizers.pop(physical_id, None)


def _delete_integration(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.integrations.pop(physical_id, None)


def _delete_route(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.routes.pop(physical_id, None)


KINDS = {
    "AWS::ApiGatewayV2::Api": Kind(
        _api,
        delete=_delete_api,
        create_only="ProtocolType",
        knows="CorsConfiguration Name ProtocolType",
        ignores="Description DisableExecuteApiEndpoint",
    ),
    "AWS::ApiGatewayV2::Authorizer": Kind(
        _authorizer,
        delete=_delete_authorizer,
        create_only="ApiId",
        knows="ApiId AuthorizerType IdentitySource JwtConfiguration Name",
    ),
    "AWS::ApiGatewayV2::Integration": Kind(
        _integration,
        delete=_delete_integration,
        create_only="ApiId",
        knows="ApiId IntegrationType IntegrationUri PayloadFormatVersion",
        ignores="Description",
    ),
    "AWS::ApiGatewayV2::Route": Kind(
        _route,
        delete=_delete_route,
        create_only="ApiId",
        knows="ApiId AuthorizationScopes AuthorizationType AuthorizerId RouteKey Target",
    ),
    "AWS::ApiGatewayV2::Stage": Kind(
        _stage,
        create_only="ApiId StageName",
        knows="ApiId StageName",
        ignores="AccessLogSettings AutoDeploy DefaultRouteSettings Description",
    ),
}
