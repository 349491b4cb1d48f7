"""The foundation models that the laptop stands in for, and how they are listed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.bedrock import nova, titan
from local.wire import AwsError


@dataclass(frozen=True)
class FoundationModel:
    """`asynchronous` models take StartAsyncInvoke, `batch` models CreateModelInvocationJob.

    Titan's version 1 takes neither (Bedrock user guide, "Supported Regions and models for batch inference").
    """

    id: str
    name: str
    inputs: tuple[str, ...]
    asynchronous: bool = False
    batch: bool = False


MODELS = (
    FoundationModel(nova.MODEL, "Nova Multimodal Embeddings", ("TEXT", "IMAGE", "AUDIO", "VIDEO"), True, True),
    FoundationModel(titan.V1, "Titan Embeddings G1 - Text", ("TEXT",)),
    FoundationModel(titan.V2, "Titan Text Embeddings V2", ("TEXT",), batch=True),
)


class Catalog:
    """The models of a Region."""

    def __init__(self, region: str) -> None:
        self._region = region

    def arn(self, model_id: str) -> str:
        return f"arn:aws:bedrock:{self._region}::foundation-model/{model_id}"

    def get(self, identifier: str) -> FoundationModel:
        """The model that an id or an ARN names, or `ValidationException`."""
        if found := self._find(identifier):
            return found
        raise AwsError("ValidationException", "The provided model identifier is invalid.")

    def describe(self, identifier: str) -> Mapping[str, Any]:
        """What GetFoundationModel answers, or `ResourceNotFoundException`."""
        if found := self._find(identifier):
            return {"modelDetails": self._details(found)}
        message = "Could not resolve the foundation model from the provided model identifier."
        raise AwsError("ResourceNotFoundException", message, 404)

    def list(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        """What ListFoundationModels answers to its filters."""
        allowed = (
            query.get("byProvider", "Amazon").lower() == "amazon"
            and query.get("byOutputModality", "EMBEDDING") == "EMBEDDING"
            and query.get("byInferenceType", "ON_DEMAND") == "ON_DEMAND"
            and "byCustomizationType" not in query
        )
        return {"modelSummaries": [self._details(model) for model in MODELS if allowed]}

    def _find(self, identifier: str) -> FoundationModel | None:
        return next((model for model in MODELS if identifier in (model.id, self.arn(model.id))), None)

    def _details(self, model: FoundationModel) -> Mapping[str, Any]:
        return {
            "modelArn": self.arn(model.id),
            "modelId": model.id,
            "modelName": model.name,
            "providerName": "Amazon",
            "inputModalities": model.inputs,
            "outputModalities": ["EMBEDDING"],
            "responseStreamingSupported": False,
            "customizationsSupported": [],
            "inferenceTypesSupported": ["ON_DEMAND"],
            "modelLifecycle": {"status": "ACTIVE"},
        }
