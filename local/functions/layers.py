"""Layers are built for Lambda's processor and Python; here are copies of them that this machine can load."""

import csv
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
from email.parser import HeaderParser
from pathlib import Path

_NEVER_COPIED = {"__pycache__", "bin"}  # `bin` holds the scripts of the distributions


class LayerError(Exception):
    """A layer that cannot be copied for this machine; the message says what to do."""


class LayerCache:
    """Host copies in one folder, named by content: made once, never changed, shared by laptops side by side.

    A copy holds the layer's distributions in the same versions, installed for the running interpreter, and the
    modules in the layer that belong to no distribution.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def host_copy(self, layer: Path) -> Path:
        """The folder to import from. Installs (with network) only what no earlier start has installed."""
        root = _site_folder(layer)
        pins, own = _pins(root), _own_files(root)
        copy = self._folder / _digest(root, pins, own)
        if not copy.is_dir():
            self._build(copy, layer, root, pins, own)
        return copy

    def _build(self, copy: Path, layer: Path, root: Path, pins: list[str], own: list[Path]) -> None:
        building = self._folder / f".building-{uuid.uuid4().hex}"
        building.mkdir(parents=True)
        try:
            if pins:
                _install(pins, building, layer)
            for file in own:
                target = building / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / file, target)
            building.rename(copy)
        except OSError:
            if not copy.is_dir():  # else another laptop was faster, with the same content
                raise
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _site_folder(layer: Path) -> Path:
    """Where Lambda's Python looks in a layer: `python/`, or `python/lib/python3.x/site-packages`."""
    root = layer / "python"
    if not root.is_dir():
        raise LayerError(f"{layer} is no unpacked Python layer: it has no folder `python`")
    nested = sorted(root.glob("lib/python3.*/site-packages"))
    return nested[-1] if nested else root


def _pins(root: Path) -> list[str]:
    pins = []
    for metadata in root.glob("*.dist-info/METADATA"):
        fields = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
        pins.append(f"{fields['Name']}=={fields['Version']}")
    return sorted(pins)


def _own_files(root: Path) -> list[Path]:
    """Files that no distribution's RECORD lists, relative to `root`."""
    listed = set()
    for record in root.glob("*.dist-info/RECORD"):
        with record.open(newline="", encoding="utf-8") as rows:
            listed |= {row[0] for row in csv.reader(rows) if row}
    files = (Path(folder, name).relative_to(root) for folder, _, names in os.walk(root) for name in names)
    return sorted(file for file in files if file.as_posix() not in listed and _is_code(file))


def _is_code(file: Path) -> bool:
    top = file.parts[0]
    hidden = top.startswith(".") or "__pycache__" in file.parts
    return not (hidden or top in _NEVER_COPIED or top.endswith(".dist-info"))


def _digest(root: Path, pins: list[str], own: list[Path]) -> str:
    digest = hashlib.sha256(f"{sys.implementation.cache_tag} {sysconfig.get_platform()}".encode())
    digest.update("\n".join(pins).encode())
    for file in own:
        digest.update(f"\0{file.as_posix()}\0".encode())
        digest.update(hashlib.sha256((root / file).read_bytes()).digest())
    return digest.hexdigest()[:32]


def _install(pins: list[str], target: Path, layer: Path) -> None:
    uv = Path(sys.prefix, "bin", "uv")
    options = ["--no-deps", "--only-binary", ":all:", "--python", sys.executable]
    command = [str(uv), "pip", "install", "--quiet", *options, "--target", str(target), *pins]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LayerError(
            f"The packages of layer {layer} could not be installed for this machine (Python "
            f"{sysconfig.get_python_version()}, {sysconfig.get_platform()}); the first start needs a package index.\n"
            f"{done.stderr.strip()}"
        )
