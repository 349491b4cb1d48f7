"""DynamoDB's reserved words, from the list that moto 5.2.5 ships. Nothing else of moto is used here.

The file is read where it lies: to import `moto.dynamodb` takes a second.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

_LIST = "dynamodb/parsing/reserved_keywords.txt"


@cache
def _words() -> frozenset[str]:
    moto = find_spec("moto")
    if moto is None or moto.origin is None:
        raise ModuleNotFoundError("moto, whose list of reserved words is used, is not installed")
    return frozenset((Path(moto.origin).parent / _LIST).read_text().split())


def is_reserved(word: str) -> bool:
    return word.upper() in _words()
