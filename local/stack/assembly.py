"""Reading a cloud assembly (`cdk.out`): its stack and its file assets."""

import json
from pathlib import Path
from typing import Any

from local.stack.form import check_form
from local.stack.template import TemplateError

DEFAULT_REGION = "us-east-1"


class Assembly:
    """One stack of a cloud assembly; `assets` are folders or files, by the S3 key the template names them by."""

    def __init__(self, folder: Path, stack: str | None = None) -> None:
        if not (folder / "manifest.json").exists():
            raise TemplateError(f"{folder} is no cloud assembly: it holds no manifest.json")
        manifest = json.loads((folder / "manifest.json").read_text())
        if missing := sorted({one["provider"] for one in manifest.get("missing", [])}):
            raise TemplateError(f"{folder} asks for look-ups in an account ({', '.join(missing)}): the laptop has none")
        artifacts = manifest["artifacts"]
        stacks = {name: one for name, one in artifacts.items() if one["type"] == "aws:cloudformation:stack"}
        if stack is None and len(stacks) != 1:
            raise TemplateError(f"{folder} holds {len(stacks)} stacks ({', '.join(stacks)}): name one with --stack")
        name = stack or next(iter(stacks))
        if name not in stacks:
            raise TemplateError(f"{folder} holds no stack {name}")
        self.name = str(stacks[name]["properties"].get("stackName", name))
        region = stacks[name]["environment"].rpartition("/")[2]
        self.region = DEFAULT_REGION if region == "unknown-region" else str(region)
        self.template: dict[str, Any] = json.loads((folder / stacks[name]["properties"]["templateFile"]).read_text())
        check_form(self.template)
        self.assets = _read_assets(folder, folder / f"{name}.assets.json")


def _read_assets(folder: Path, path: Path) -> dict[str, Path]:
    if not path.exists():
        return {}
    files = json.loads(path.read_text())["files"].values()
    return {
        destination["objectKey"]: folder / file["source"]["path"]
        for file in files
        if "path" in file["source"]
        for destination in file["destinations"].values()
    }
