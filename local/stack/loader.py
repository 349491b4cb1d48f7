"""Makes everything a template names, in the order it needs, and says what came out.

A type is known to one of the modules here or it stops the start. So is a property, here or to its service, unless it
is one that cannot matter on a laptop (encryption, tags, alarms, log retention, retention policies).
"""

from typing import Any

from local.functions import LayerError
from local.gateway_routes import UnsupportedApiError
from local.s3vectors.template import ImmutablePropertyError
from local.stack import api, compute, identity, storage
from local.stack.custom import CustomResources
from local.stack.template import Made, Resolver, Resource, TemplateError, as_text, in_order
from local.stack.workshop import Workshop
from local.wire import AwsError

KINDS = {**storage.KINDS, **compute.KINDS, **api.KINDS, **identity.KINDS}
CUSTOM = ("Custom::", "AWS::CloudFormation::CustomResource")
REFUSALS = (AwsError, ImmutablePropertyError, LayerError, UnsupportedApiError, ValueError)
"""What the services raise for a template they cannot do."""


def load(workshop: Workshop, custom: CustomResources) -> dict[str, Any]:
    """Make the stack (its event source mappings do not poll yet); its outputs. TemplateError says what stops it."""
    assembly, services = workshop.assembly, workshop.services
    made: dict[str, Made] = {}
    resolver = Resolver(assembly, made)
    for resource in in_order(assembly.resources):
        if resolver.holds(resource.condition):
            made[resource.logical_id] = _make(workshop, custom, resolver, resource)
    for api_id, properties in workshop.apis.items():
        try:
            routes = workshop.routes.get(api_id, [])
            services.gateway.add_api(api_id, properties, routes, properties.get("CorsConfiguration"))
        except UnsupportedApiError as error:
            raise TemplateError(str(error)) from error
    return {
        name: as_text(resolver.resolve(output["Value"]))
        for name, output in assembly.template.get("Outputs", {}).items()
        if resolver.holds(output.get("Condition"))
    }


def _make(workshop: Workshop, custom: CustomResources, resolver: Resolver, resource: Resource) -> Made:
    try:
        if resource.type in identity.INERT:
            return Made(resource.logical_id)
        if resource.type.startswith(CUSTOM):
            return custom.make(workshop.assembly, resource, resolver.resolve(resource.properties))
        kind = KINDS.get(resource.type)
        if kind is None:
            raise TemplateError("the laptop does not know this type of resource")
        properties = resolver.resolve(resource.properties)
        kind.check(properties)
        return kind.make(workshop, resource, properties)
    except (TemplateError, *REFUSALS) as error:
        raise TemplateError(f"{resource.logical_id} ({resource.type}): {error}") from error
