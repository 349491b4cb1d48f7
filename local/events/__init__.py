"""Amazon EventBridge: the default bus, its rules and their schedules."""

from local.events.bus import EventBus
from local.events.patterns import InvalidPatternError, matches

__all__ = ["EventBus", "InvalidPatternError", "matches"]
