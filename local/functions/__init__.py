"""AWS Lambda on the laptop: processes of their own, their limits, the API, and the queues that call functions."""

from local.functions.layers import LayerError
from local.functions.mapping import EventSourceMapping, Poller
from local.functions.runner import Functions
from local.functions.service import LambdaService
from local.functions.spec import AsyncConfig, FunctionSpec, Invocation

__all__ = [
    "AsyncConfig",
    "EventSourceMapping",
    "FunctionSpec",
    "Functions",
    "Invocation",
    "LambdaService",
    "LayerError",
    "Poller",
]
