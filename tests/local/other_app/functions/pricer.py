"""Prices one line of an order; some products give it trouble."""

import time
from typing import Any

from ledger import count


class BusyError(Exception):
    """Ask again."""


class SoldOutError(Exception):
    """Do not ask again."""


def price(line: dict[str, Any], context: Any) -> dict[str, Any]:
    if line["sku"] == "unicorn":
        raise SoldOutError("no unicorns left")
    if line["sku"] == "coffee" and count(f"asked for {line['sku']} in {line['of']}") == 1:
        raise BusyError("the machine is heating up")
    if line["sku"] == "handmade" and count(f"asked for {line['sku']} in {line['of']}") <= 2:
        time.sleep(25)
    return {"sku": line["sku"], "price": 3 * line["count"]}
