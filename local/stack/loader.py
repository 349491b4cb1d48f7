"""Makes everything a template names, in the order it needs, and says what came out."""

from typing import Any

from local.stack.custom import CustomResources
from local.stack.resources import INERT, Services, Workshop, make
from local.stack.template import Assembly, Made, Resolver, in_order

CUSTOM = ("Custom::", "AWS::CloudFormation::CustomResource")


def load(assembly: Assembly, services: Services, custom: CustomResources) -> tuple[Workshop, dict[str, Any]]:
    """Make the stack; the workshop with its event source mappings (not yet polling), and the stack's outputs."""
    workshop = Workshop(services, assembly)
    made: dict[str, Made] = {}
    resolver = Resolver(assembly, made)
    for resource in in_order(assembly.resources):
        condition = assembly.condition_of(resource.logical_id)
        if condition and not resolver.condition(condition):
            continue
        if resource.type in INERT:
            made[resource.logical_id] = Made(resource.logical_id)
        elif resource.type.startswith(CUSTOM):
            made[resource.logical_id] = custom.make(assembly, resource, resolver.resolve(resource.properties))
        else:
            made[resource.logical_id] = make(workshop, resource, resolver.resolve)
    for api_id, properties in workshop.apis.items():
        routes = workshop.routes.get(api_id, [])
        services.gateway.add_api(api_id, properties, routes, properties.get("CorsConfiguration"))
    outputs = {
        name: resolver.resolve(output["Value"])
        for name, output in assembly.template.get("Outputs", {}).items()
        if "Condition" not in output or resolver.condition(output["Condition"])
    }
    return workshop, outputs
