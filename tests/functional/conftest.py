"""Our stack on a laptop of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import layers
from local.bedrock.service import BedrockSettings
from local.laptop import Laptop, Settings
from tests.user import User


def laptop_on(our_assembly: Path, data: Path, **bedrock: Any) -> Laptop:
    """A laptop on free ports."""
    settings = Settings(
        assembly=our_assembly,
        data=data,
        layers=layers.BUILT / "host",
        aws_port=0,
        port=0,
        bedrock=BedrockSettings(**bedrock),
    )
    return Laptop(settings)


@pytest.fixture(scope="session")
def user(our_assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    laptop = laptop_on(our_assembly, tmp_path_factory.mktemp("laptop"))
    try:
        yield User(laptop.start())
    finally:
        laptop.stop()
