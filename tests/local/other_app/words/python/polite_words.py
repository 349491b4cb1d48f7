"""A layer's own module."""


def thanks(name: str) -> str:
    return f"thank you, {name}"
