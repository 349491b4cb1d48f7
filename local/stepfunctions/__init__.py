"""AWS Step Functions on the laptop: Standard workflows in JSONPath, kept in the state, run by an own interpreter."""

from local.stepfunctions.service import StepFunctions

__all__ = ["StepFunctions"]
