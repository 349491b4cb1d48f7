"""Chromium, driven over its DevTools protocol: as much of it as the tests of the page need.

https://chromedevtools.github.io/devtools-protocol/
"""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--autoplay-policy=no-user-gesture-required", "--mute-audio"),
)
SECONDS = 60.0


class Tab:
    """A page in a window of its own. `events` is what the browser told meanwhile."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=SECONDS))
            if message.get("id") != self._number:
                self.events.append(message)
                continue
            if "error" in message:
                raise AssertionError(f"{method}: {message['error']}")
            result: dict[str, Any] = message["result"]
            return result

    def run(self, script: str) -> Any:
        """The value of an expression; of a promise, what comes of it."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, (script, done["exceptionDetails"])
        return done["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression, once it is something."""
        deadline = time.monotonic() + SECONDS
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, (
                f"not in time: {script}; the page: {self.run('document.body.innerText')}"
            )
            time.sleep(0.05)
        return value

    def choose(self, selector: str, *files: Path) -> None:
        """Files in an `<input type="file">`."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self.call("DOM.setFileInputFiles", files=[str(file) for file in files], objectId=found["result"]["objectId"])

    def drop(self, *files: Path) -> None:
        """Files from another window, let go of in the middle of this one."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=200, y=200, data=data)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def press_enter(self) -> None:
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        self.call("Input.dispatchKeyEvent", type="keyUp", **key)


class Chromium:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    @contextmanager
    def tab(self, url: str) -> Iterator[Tab]:
        """A page that has been loaded."""
        request = urllib.request.Request(f"{self._url}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request) as answer:
            target = json.load(answer)
        with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
            tab = Tab(socket)
            for domain in ("Page", "Network", "Log", "Runtime"):
                tab.call(f"{domain}.enable")
            tab.call("Page.navigate", url=url)
            tab.until("document.readyState === 'complete'")
            yield tab


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """A browser that knows nothing, and is gone afterwards."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program, "these tests drive a real browser: install Chromium (on Debian: apt-get install chromium)"
    command = [program, *OPTIONS, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Chromium(_port(folder, process))
        finally:
            process.terminate()


def _port(folder: Path, process: "subprocess.Popen[bytes]") -> int:
    """It writes the one that it listens on into its folder."""
    deadline = time.monotonic() + SECONDS
    file = folder / "DevToolsActivePort"
    while not (file.exists() and (lines := file.read_text().splitlines())):
        assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
    return int(lines[0])
