"""Pages in headless Chromium: what became of them, what they wrote to the console, and what a script finds there."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *QUIET, "--enable-logging=stderr"]
ASKED = """
<script>
addEventListener("load", async () => {
  while (document.body.dataset.drawn === undefined) await new Promise((done) => setTimeout(done, 20));
  const drawn = () => new Promise((done) => setTimeout(async () => {
    while (document.body.dataset.drawn === undefined) await new Promise((again) => setTimeout(again, 20));
    done();
  }, 20));
  const answer = await (async () => { SCRIPT })();
  parent.postMessage(encodeURIComponent(JSON.stringify(answer)), "*");
});
</script>
"""
FRAME = """<!doctype html><title>frame</title><link rel="icon" href="data:,">
<iframe src="asked.html" style="width: WIDTHpx; height: 844px; border: 0"></iframe><p id="answer"></p>
<script>
addEventListener("message", (event) => { document.getElementById("answer").textContent = event.data; });
</script>
"""


def opened_in_chromium(page: Path, *flags: str) -> tuple[str, list[str]]:
    """The page's DOM once it is drawn, and what it wrote to the console."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        if os.environ.get("CI"):
            pytest.fail("no chromium; .ci/run installs it")
        pytest.skip("no chromium here")
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [chromium, *FLAGS, *flags, profile, "--virtual-time-budget=20000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def asked_in_chromium(page: Path, script: str, width: int = 1280, dark: bool = False) -> tuple[Any, list[str]]:
    """Show a report so many pixels wide, and once it is drawn run a script in it; gives its answer, and the console.

    The script may `await drawn()` after it made the report draw anew, and returns something that JSON can hold. The
    page stands in a frame, as no window is as narrow as a phone.
    """
    folder = page.parent / f"asked-{width}-{dark}"
    folder.mkdir(exist_ok=True)
    text = page.read_text(encoding="utf-8") + ASKED.replace("SCRIPT", script)
    (folder / "asked.html").write_text(text, encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    flags = ["--blink-settings=preferredColorScheme=0"] if dark else []
    dom, console = opened_in_chromium(folder / "frame.html", "--window-size=1600,1000", *flags)
    answer = re.search(r'<p id="answer">(.*?)</p>', dom)
    return json.loads(unquote(answer[1])) if answer and answer[1] else None, console
