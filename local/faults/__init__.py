"""Faults on demand: rules that make calls, functions, messages and jobs go wrong, and a count of every call."""

from local.faults.control import Control
from local.faults.faults import Faults

__all__ = ["Control", "Faults"]
