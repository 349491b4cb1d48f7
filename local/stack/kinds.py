"""Every type of resource the laptop knows, and what making and deleting one of any type comes to.

A type is known to one of the modules here or a template with it is refused. So is a property, here or to its service,
unless it is one that cannot matter on a laptop (encryption, tags, alarms, log retention, retention policies).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from local.functions import LayerError
from local.gateway_routes import UnsupportedApiError
from local.s3vectors.template import ImmutablePropertyError
from local.stack import api, compute, identity, storage
from local.stack.custom import CustomResources
from local.stack.records import Record
from local.stack.template import Made, Resource, TemplateError
from local.stack.workshop import Kind, Properties, Workshop
from local.wire import AwsError

log = logging.getLogger(__name__)

KINDS = {**storage.KINDS, **compute.KINDS, **api.KINDS, **identity.KINDS}
_CUSTOM = ("Custom::", "AWS::CloudFormation::CustomResource")
_REFUSALS = (AwsError, BotoCoreError, ClientError, ImmutablePropertyError, LayerError, UnsupportedApiError, ValueError)
_NOTHING = Kind(lambda workshop, resource, properties: Made(resource.logical_id))


def is_known(kind: str) -> bool:
    return kind in KINDS or kind in identity.INERT or is_custom(kind)


def is_custom(kind: str) -> bool:
    """Made by a function of the template."""
    return kind.startswith(_CUSTOM)


def kind_of(name: str) -> Kind:
    """For a custom resource or a type that nothing asks for, one that makes nothing."""
    if not is_known(name):
        raise TemplateError("the laptop does not know this type of resource")
    return KINDS.get(name, _NOTHING)


def check(type_: str, properties: Properties) -> None:
    """TemplateError for properties that the type does not have, or lacks."""
    kind_of(type_).check(properties)
    if is_custom(type_) and not isinstance(properties.get("ServiceToken"), str):
        raise _missing("ServiceToken")


@contextmanager
def in_words(name: str) -> Iterator[None]:
    """A failure of a resource or an output as a TemplateError. The log says where it was, if nobody foresaw it."""
    try:
        yield
    except TemplateError:
        raise
    except _REFUSALS as error:
        raise TemplateError(str(error)) from error
    except KeyError as error:
        raise _missing(error.args[0]) from error
    except (AttributeError, IndexError, TypeError) as error:
        log.exception("%s failed", name)
        raise TemplateError("Properties validation failed: a property has not the type it should have") from error
    except Exception as error:
        log.exception("%s failed", name)
        raise TemplateError(f"Internal Failure: {error!r}") from error


def _missing(key: str) -> TemplateError:
    return TemplateError(f"Properties validation failed: required key [{key}] not found")


class Maker:
    """Makes, changes and deletes resources of one stack. TemplateError says what a service or a function refuses."""

    def __init__(self, workshop: Workshop, custom: CustomResources, stack_id: str) -> None:
        self.workshop = workshop
        self._custom = custom
        self._stack_id = stack_id

    def make(self, resource: Resource, properties: Properties, before: Record | None = None) -> Made:
        """Create it; or change what there is `before`, which answers with another `ref` if that took another one."""
        with in_words(resource.logical_id):
            if is_custom(resource.type):
                return self._ask(resource, properties, before)
            return kind_of(resource.type).make(self.workshop, resource, properties)

    def delete(self, record: Record) -> None:
        delete = kind_of(record.type).delete
        with in_words(record.logical_id):
            if is_custom(record.type):
                self._custom.delete(self._subject(record), record.physical_id, record.properties)
            elif delete:
                delete(self.workshop, record.physical_id, record.properties)

    def exists(self, resource: Resource, properties: Properties) -> str | None:
        """The name that the template fixes, if something has it already."""
        kind = kind_of(resource.type)
        name = properties.get(kind.named) if kind.named else None
        with in_words(resource.logical_id):
            return str(name) if name and kind.exists and kind.exists(self.workshop, properties) else None

    def _ask(self, resource: Resource, properties: Properties, before: Record | None) -> Made:
        if before is None:
            return self._custom.create(self._subject(resource), properties)
        return self._custom.update(self._subject(resource), before.physical_id, before.properties, properties)

    def _subject(self, resource: Resource | Record) -> dict[str, str]:
        return {
            "StackId": self._stack_id,
            "ResourceType": resource.type,
            "LogicalResourceId": resource.logical_id,
        }
