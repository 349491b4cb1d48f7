"""The layers: third-party code for Lambda, one requirements file each, built once per content by `make setup`.

Run as a program (`python -m infra.layers`) it builds what is missing, with uv, for CPython 3.14 on aarch64; imported,
it only finds what was built, so that a synth never touches the network.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "lambdas"
BUILT = ROOT / ".layers"
PLATFORM = ("--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.14", "--only-binary", ":all:")
NOT_FOR_LAMBDA = ("bin", "**/__pycache__")
NAMES = ("core", "pictures", "media", "agents")


class LayerMissingError(Exception):
    """A layer was not built yet."""


def folder(name: str) -> Path:
    """Where the layer of `requirements-<name>.txt` lies, named by that file's content."""
    content = (REQUIREMENTS / f"requirements-{name}.txt").read_bytes()
    return BUILT / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"


def built(name: str) -> Path:
    """The folder of a layer that is there; LayerMissingError where it is not."""
    if not folder(name).is_dir():
        raise LayerMissingError(f"The layer {name} is not built: run `make setup` once.")
    return folder(name)


def build(name: str) -> None:
    """Install the pinned wheels into the folder; a build that is interrupted leaves none."""
    if folder(name).is_dir():
        return
    print(f"building the layer {name} …", flush=True)
    BUILT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILT) as temporary:
        target = Path(temporary) / "layer" / "python"
        uv = Path(sys.executable).with_name("uv")
        requirements = REQUIREMENTS / f"requirements-{name}.txt"
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", target, *PLATFORM]
        subprocess.run([*map(str, install), "-r", str(requirements)], check=True)
        for pattern in NOT_FOR_LAMBDA:
            for path in target.glob(pattern):
                shutil.rmtree(path)
        try:
            target.parent.rename(folder(name))
        except OSError:
            if not folder(name).is_dir():  # else another build was quicker
                raise


if __name__ == "__main__":
    for layer in NAMES:
        build(layer)
