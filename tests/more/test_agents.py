"""Agents and the command line where the API refuses as on AWS, and the questions of docs/agents.md."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from botocore.credentials import Credentials
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from infra import layers
from lens.api import Signature
from local.laptop import Laptop, Settings
from samples.tour import MEDIA, ROOT
from tests.user import User

QUESTIONED = ("rain.ogg", "guitar.ogg", "evening.mp3", "lease.pdf", "harvest-scan.pdf", "three-scenes.mp4")


@pytest.fixture(scope="module")
def strict(our_assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    data = tmp_path_factory.mktemp("laptop")
    laptop = Laptop(Settings(our_assembly, data, layers.BUILT / "host", aws_port=0, port=0, enforce=True))
    try:
        yield User(laptop.start())
    finally:
        laptop.stop()


def lens(user: User, folder: Path, *words: str, status: int = 0) -> str:
    """What it prints."""
    outputs = folder / "outputs.json"
    outputs.write_text(json.dumps({"Bucketlens": user.outputs}))
    command = [sys.executable, "-P", "-m", "lens", "--outputs", str(outputs), *words]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_mcp_is_behind_the_same_authorization_as_all_else(strict: User, tmp_path: Path) -> None:
    url = f"{strict.outputs['ApiUrl']}/mcp"
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepted = {"accept": "application/json, text/event-stream"}
    assert httpx2.post(url, json=message, headers=accepted).status_code == 403

    async def signed() -> list[str]:
        auth = Signature(Credentials("local", "local"), "us-east-1")
        async with (
            httpx2.AsyncClient(auth=auth) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return [tool.name for tool in (await client.list_tools()).tools]

    assert asyncio.run(signed()) == ["search", "show_segment", "list_assets", "add_file"]


def test_the_command_line_signs_what_it_asks(strict: User, tmp_path: Path) -> None:
    key = "a folder/größe & maß+1.txt"
    strict.drop(key, b"It is signed.")
    file = tmp_path / "a.txt"
    file.write_text("This one, too.")
    assert "indexed" in lens(strict, tmp_path, "add", str(file), "--wait")
    assert "It is signed." in lens(strict, tmp_path, "search", "it is signed", "--prefix", "a folder/")
    assert key in lens(strict, tmp_path, "ls", key)
    assert "403 Forbidden" in lens(strict, tmp_path, "--token", "none", "ls", status=1)


def test_the_questions_of_the_docs_are_answered_as_they_say(user: User, tmp_path: Path) -> None:
    for name in QUESTIONED:
        user.dropped(f"samples/{name}", (MEDIA / name).read_bytes())
    done = subprocess.run(
        [sys.executable, ROOT / "docs/agent_questions.py", f"{user.outputs['ApiUrl']}/mcp"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in (ROOT / "docs/agents.md").read_text()
