"""`make screenshots`: every page of a demo in four variants (phone and desktop, light and dark), checked by axe.

    python -m tests.browser.screenshots [--data FOLDER] [--out FOLDER] [--only WORD ...] [--variants NAME ...]

The demo lies in DATA_DIR (made on the first run, with the generated history beside it) and is served on a free port
while the pictures are taken. Prints each page's violations of WCAG 2.2 AA and exits with 1 if there is one.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Browser, Error, Page, sync_playwright

from l4s import Client
from tests.browser.shots import ACTS, SITE, Shot
from tests.conftest import BROWSER_OPTIONS, BROWSERS

ROOT = Path(__file__).resolve().parents[2]
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
HISTORY = "l4s-2022-history"  # which the demo's token does not open
REPORTED = f"{HISTORY}/test"
VARIANTS = {
    f"{device}-{scheme}": {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    for device, width, height in (("desktop", 1280, 900), ("phone", 390, 844))
    for scheme in ("light", "dark")
}


@contextmanager
def server(data: Path) -> Iterator[str]:
    """A demo under `data`, served with one worker until the block ends; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "DATA_DIR": str(data), "PORT": str(port), "WORKER_CONCURRENCY": "1"}
    environment.pop("SITE_URL", None)
    manage = [sys.executable, str(ROOT / "manage.py")]
    is_new = not (data / "demo.json").exists()
    subprocess.run([*manage, "demo"], env=environment, check=True, stdout=subprocess.DEVNULL)
    for command in (["demo_history"], ["build_report", REPORTED, "--publish"]) if is_new else ():
        subprocess.run([*manage, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    log = (data / "screenshots.log").open("w")
    serve = [*manage, "serve", "--with-parent", str(os.getpid())]
    process = subprocess.Popen(serve, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/readyz", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def rows_of(url: str, demo: dict[str, Any], data: Path) -> dict[str, Any]:
    """The slugs and ids that the paths need, asked through the API as the demo's team."""

    def ask(path: str) -> Any:
        request = urllib.request.Request(f"{url}/api/v1/{path}")
        request.add_header("Authorization", f"Bearer {demo['token']}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    listed = ask("competitions/")
    slug = next(row["slug"] for row in listed if row["slug"] != HISTORY)
    mine = ask("submissions/")["results"]
    scored, other = [row["id"] for row in mine if row["state"] == "scored"][:2]
    invalid = next((row["id"] for row in mine if row["state"] == "invalid"), scored)
    places = ask(f"phases/{demo['phase']}/leaderboard/")["rows"]
    return {
        "slug": slug,
        "history": HISTORY,
        "phase": demo["phase"],
        "competition": 1,  # the demo makes it first
        "submission": scored,
        "team": next(row["team_id"] for row in places if row["team"] == "Demo Team"),
        "other": other,
        "archive": str(data / "samples" / Path(demo["archives"][0]).name),
        "bad": str(data / "samples" / "sample-bad.zip"),
        "invalid": invalid,
    }


def upload_samples(url: str, demo: dict[str, Any], data: Path) -> None:
    """Give the demo's team a good and an invalid submission, once, through the form."""
    archives = [data / "samples" / Path(path).name for path in demo["archives"]]  # the folder may have moved
    good_archive, bad = archives[0], data / "samples" / "sample-bad.zip"
    if not bad.exists():
        with zipfile.ZipFile(good_archive) as good, zipfile.ZipFile(bad, "w") as made:
            for entry in good.infolist()[:-3]:
                is_spoilt = entry.filename == "mask_2.h5"
                made.writestr(entry.filename, b"not HDF5" if is_spoilt else good.read(entry))
    with Client(url, demo["token"]) as client:
        for path, method in zip((*archives, bad), ("U-Net", "SegFormer-B2", "DeepLabV3+"), strict=True):
            client.wait(client.submit(path, phase=demo["phase"], method=method))


def sign_in(browser: Browser, url: str, person: dict[str, str], variant: dict[str, Any]) -> Any:
    context = browser.new_context(base_url=url, **variant)
    page = context.new_page()
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(person["username"])
    page.locator("input[name=password]").fill(person["password"])
    page.locator("main button[type=submit]").first.click()
    page.wait_for_url(lambda address: "login" not in address)
    page.close()
    return context


def violations(page: Page) -> list[str]:
    """What axe finds on the open page: rule, number of nodes, and the first of them."""
    page.evaluate(AXE)
    found = page.evaluate("rules => axe.run(document, rules)", RULES)["violations"]
    return [f"{rule['id']} ({len(rule['nodes'])}): {rule['nodes'][0]['html'][:160]}" for rule in found]


def take(page: Page, shot: Shot, rows: dict[str, Any], target: Path) -> list[str]:
    """Open the page, save its picture, and return what is wrong with it."""
    try:
        page.goto(shot.path.format(**rows))
        page.wait_for_load_state("networkidle")
        if shot.act:
            ACTS[shot.act](page, rows)
        found = violations(page)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        page.screenshot(path=target, full_page=True)
    except Error as error:
        return [f"could not be opened: {error}"]
    return [*found, *([f"scrolls sideways by {wide} pixels"] if wide > 0 else [])]


def run(arguments: argparse.Namespace) -> int:
    """Take all pictures; the number of faults."""
    shots = [shot for shot in SITE if not arguments.only or any(word in shot.name for word in arguments.only)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    chromium = next(path for name in BROWSERS if (path := shutil.which(name)))
    faults = 0
    with server(arguments.data) as url, sync_playwright() as playwright:
        demo = json.loads((arguments.data / "demo.json").read_text())
        upload_samples(url, demo, arguments.data)
        rows = rows_of(url, demo, arguments.data)
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_OPTIONS)
        for variant in arguments.variants:
            contexts = {"nobody": browser.new_context(base_url=url, **VARIANTS[variant])}
            for shot in shots:
                if shot.role not in contexts:
                    contexts[shot.role] = sign_in(browser, url, demo[shot.role], VARIANTS[variant])
                context = contexts[shot.role]
                if shot.act:  # what a page keeps of an upload must not begin again in the next one
                    context = sign_in(browser, url, demo[shot.role], VARIANTS[variant])
                page = context.new_page()
                found = take(page, shot, rows, arguments.out / f"{shot.name}-{variant}.png")
                page.close()
                if shot.act:
                    context.close()
                faults += len(found)
                for fault in found:
                    print(f"{shot.name} {variant}: {fault}", flush=True)
        browser.close()
    print(f"{len(shots) * len(arguments.variants)} pictures in {arguments.out}, {faults} faults")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "var" / "screenshots-demo")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "screenshots")
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of the pages")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    arguments = parser.parse_args()
    arguments.data, arguments.out = arguments.data.resolve(), arguments.out.resolve()
    return 1 if run(arguments) else 0


if __name__ == "__main__":
    sys.exit(main())
