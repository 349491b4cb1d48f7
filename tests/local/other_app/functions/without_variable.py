"""Reads a variable that the template does not give it."""

import os


def handler(event: object, context: object) -> str:
    return os.environ["CASH_REGISTER"]
