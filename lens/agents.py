"""The Model Context Protocol over standard input and output: the tools of `/mcp`, with the files of this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from lambdas.agents.tools import ADDS, Server, server_of
from lens.api import Api
from lens.errors import LensError


@dataclass(frozen=True)
class Asked:
    """The API as tools ask it."""

    api: Api

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return self.api.call(method, path, body)
        except LensError as error:
            raise ToolError(str(error)) from error


def serve(api: Api) -> None:
    """Until the agent closes its end."""
    serving(api).run("stdio")


def serving(api: Api) -> Server:
    server = server_of(Asked(api))

    @server.tool(title="Add a file of this machine", annotations=ADDS)
    def add_file(
        path: Annotated[str, Field(description="of a file on this machine")],
        name: Annotated[str | None, Field(description="what to call it, if not by its own name")] = None,
    ) -> dict[str, Any]:
        """Add a file of this machine, so that it can be searched. `list_assets` with the `key` of the answer as prefix
        tells when it is indexed."""
        try:
            with Path(path).expanduser().open("rb") as content:
                key = api.upload(name or Path(path).name, content)
        except OSError as error:
            raise ToolError(f"path: {path} can't be read: {str(error.strerror).lower()}") from error
        except LensError as error:
            raise ToolError(str(error)) from error
        return {"key": key, "status": "received"}

    return server
