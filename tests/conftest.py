"""What several suites share: our stack, synthesized once."""

from pathlib import Path

import pytest

from samples.tour import synthesize


@pytest.fixture(scope="session")
def our_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("assembly"))
