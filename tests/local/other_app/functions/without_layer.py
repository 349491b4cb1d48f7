"""Imports what the machine that synthesizes has, but no layer of this function holds."""

import pydantic


def handler(event: object, context: object) -> str:
    return pydantic.VERSION
