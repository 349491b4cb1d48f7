"""A long film in the process that holds the model: its memory stays what it was for a short one."""

import json
import subprocess
import sys
from pathlib import Path

import local
from tests.unit.films import Scene, film

ROOT = Path(local.__file__).parents[1]
MINUTE = [
    Scene("red", "hum", 15),
    Scene("blue", "alarm", 15),
    Scene("checks", "rain", 15),
    Scene("green", "melody", 15),
]
WORK = """
import json, sys, threading, time
from pathlib import Path
import psutil
from local import standin
from local.bedrock.model_process import Orders

peak = 0

def watch():
    global peak
    while True:
        peak = max(peak, psutil.Process().memory_info().rss)
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
orders = Orders(lambda: standin)
for path in sys.argv[1:]:
    output = Path(path + ".out")
    output.mkdir()
    order = {"do": "write_video", "dimension": 1024, "path": path, "output": str(output), "seconds": 15}
    answer = json.loads(orders.answer(json.dumps({**order, "mode": "AUDIO_VIDEO_SEPARATE"}).encode()))
    print(json.dumps([answer, peak]), flush=True)
"""


def test_twenty_minutes_take_no_more_memory_than_one(tmp_path: Path) -> None:
    for minutes in (1, 20):
        (tmp_path / f"{minutes}").write_bytes(film(MINUTE * minutes, fps=5, key_every=25))
    command = [sys.executable, "-c", WORK, tmp_path / "1", tmp_path / "20"]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    (short, before), (long, after) = (json.loads(line) for line in output.splitlines())
    whole = {"failed": 0, "message": None}
    assert short == {kind: {"segments": 4, **whole} for kind in ("VIDEO", "AUDIO")}
    assert long == {kind: {"segments": 80, **whole} for kind in ("VIDEO", "AUDIO")}
    print(f"at most {before / 1e6:.0f} MB for one minute, {(after - before) / 1e6:.1f} MB more for twenty")
    assert after - before < 32_000_000
