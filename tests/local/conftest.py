"""A laptop with one service on it, on a free port, for tests of that service over the wire."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.auth import Keyring
from local.clients import Clients
from local.front import Front
from local.http import HttpServer
from local.state import State
from local.wire import Service


def nothing_else(name: str, *_: Any) -> Any:
    raise LookupError(f"this test serves no {name}")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path / "state")
    yield made
    made.close()


@pytest.fixture
def keyring(state: State) -> Keyring:
    return Keyring(state.folder)


@pytest.fixture
def serve(keyring: Keyring) -> Iterator[Callable[[Mapping[str, Service]], Clients]]:
    """`serve({"sqs": service})` answers with clients onto a port where that service listens."""
    servers = []

    def start(services: Mapping[str, Service]) -> Clients:
        server = HttpServer(Front(services, keyring, nothing_else), 0)
        server.start()
        servers.append(server)
        return Clients(server.url, keyring)

    yield start
    for server in servers:
        server.stop()
