"""The people and scripts of benchmarks.day, in a process of their own: locust's gevent patches whatever it is imported with.

`locust -f benchmarks/day_users.py` reads the file that DAY_PLAN names and plays each event at its moment, as long as somebody of its
kind is free; what they are late is in the statistics too. It ends after the last event and leaves what was accepted in `accepted`.
"""

import html
import json
import mailbox
import os
import random
import re
import secrets
import time
from pathlib import Path
from typing import Any

import gevent
from locust import HttpUser, constant, events, task
from locust.exception import StopUser

PLAN = json.loads(Path(os.environ["DAY_PLAN"]).read_text())
WAITING = {kind: list(reversed(list_of)) for kind, list_of in PLAN["events"].items()}
LEFT = sum(len(list_of) for list_of in WAITING.values())
BOARD = f"/c/{PLAN['competition']}/board/{PLAN['phase_slug']}/"
FIELD = re.compile(r'name="(csrfmiddlewaretoken|form_key)" value="([^"]+)"')
POLL = re.compile(r'hx-get="(?P<path>[^"]+)".*?delay:(?P<pause>\d+)ms', re.DOTALL)
CODE = re.compile(r"^([A-Z0-9]{4}-[A-Z0-9]{4})\s*$", re.MULTILINE)
ACCEPTED: dict[int, str] = {}
SENT: list[str] = []  # the keys of all uploads, answered or not
MAILS: dict[str, str] = {}  # the newest text to each address
PATIENCE = 300  # seconds
BEGAN = 0.0


@events.test_start.add_listener
def _begin(environment: Any, **_: Any) -> None:
    global BEGAN
    BEGAN = time.time()


@events.quitting.add_listener
def _leave(environment: Any, **_: Any) -> None:
    Path(PLAN["accepted"]).write_text(json.dumps({"began": BEGAN, "accepted": ACCEPTED, "sent": SENT}))


def note(kind: str, name: str, seconds: float, error: Exception | None = None) -> None:
    """Add a time that is not a request to the statistics."""
    events.request.fire(
        request_type=kind,
        name=name,
        response_time=1000 * seconds,
        response_length=0,
        exception=error,
        context={},
    )


class Player(HttpUser):
    """Takes one event of its kind after the other."""

    abstract = True
    host = PLAN["url"]
    wait_time = constant(0)
    kind = ""

    def on_start(self) -> None:
        self.client.verify = PLAN["certificate"]

    @task
    def play_next(self) -> None:
        global LEFT
        if not WAITING[self.kind]:
            raise StopUser()
        moment, *about = WAITING[self.kind].pop()
        gevent.sleep(max(0, BEGAN + moment - time.time()))
        note("late", self.kind, max(0, time.time() - BEGAN - moment))
        # A person's own address, as a CDN in front would hand it on: limits per address hold for each of them.
        self.client.headers = {
            "X-Forwarded-For": f"198.18.{random.randrange(256)}.{random.randrange(256)}",
            "Referer": f"{self.host}/",
        }
        try:
            self.play(*about)
        except Exception as error:
            note("event", self.kind, 0, error)
        finally:
            LEFT -= 1
            if not LEFT:
                gevent.spawn(self.environment.runner.quit)

    def play(self, *about: Any) -> None:
        raise NotImplementedError

    def ask(self, method: str, path: str, name: str, expect: tuple[int, ...] = (200,), **how: Any) -> Any:
        """A request under a name of the table; anything but what is expected is its failure, and ends the event."""
        with self.client.request(method, path, name=name, catch_response=True, timeout=90, **how) as answer:
            if answer.status_code not in expect:
                answer.failure(f"{answer.status_code}")
                raise RuntimeError(f"{name}: {answer.status_code} {answer.text[:200]}")
            answer.success()
        return answer

    def form(self, path: str, name: str, fields: dict[str, Any], **how: Any) -> Any:
        """Open a form, fill it in and send it; the answer redirects."""
        hidden = dict(FIELD.findall(self.ask("GET", path, f"{name}: form").text))
        fields = {**hidden, **fields}
        SENT.extend(key for name, key in hidden.items() if name == "form_key")
        return fields, self.ask(
            "POST", path, f"{name}: sent", (302,), data=fields, allow_redirects=False, **how
        )


class Newcomer(Player):
    """Signs up, types the code that was mailed, and founds a team."""

    kind, fixed_count = "sign-up", 20

    def play(self) -> None:
        self.client.cookies.clear()
        name, password = f"new{secrets.token_hex(5)}", secrets.token_urlsafe(12)
        address = f"{name}@example.net"
        fields = {"email": address, "username": name, "password1": password, "password2": password}
        _, answer = self.form("/accounts/signup/", "sign-up", fields)
        began = time.time()
        while not (found := CODE.search(mail_to(address))):
            if time.time() - began > PATIENCE:
                raise RuntimeError(f"no code was mailed: {mail_to(address)[:300]!r}")
            gevent.sleep(0.5)
        note("wait", "sign-up → code in the mailbox", time.time() - began)
        self.form(answer.headers["Location"], "code", {"code": found[1]})
        self.form(f"/c/{PLAN['competition']}/team/", "new team", {"name": f"Team {name}"})


def mail_to(address: str) -> str:
    """The text of the newest mail to an address, "" without one."""
    arrived = mailbox.Maildir(PLAN["mail"])
    for key in list(arrived.iterkeys()):
        message = arrived[key]
        part = next(part for part in message.walk() if part.get_content_type() == "text/plain")
        MAILS[str(message["To"])] = part.get_payload(decode=True).decode()
        arrived.discard(key)
    return MAILS.get(address, "")


class TeamMember(Player):
    """Uploads an archive, by script or in the browser, and waits for its score."""

    kind, fixed_count = "submission", 60

    def play(self, team: int, path: str, by_form: bool, signs_in: bool) -> None:
        archive = Path(path).read_bytes()
        self.client.cookies.clear()
        if by_form:
            self.by_form(team, archive, signs_in)
        else:
            self.by_script(team, archive)

    def by_script(self, team: int, archive: bytes) -> None:
        self.client.headers["Authorization"] = f"Bearer {PLAN['teams'][str(team)]['token']}"
        key = secrets.token_hex(8)
        SENT.append(key)
        began = time.time()
        while True:
            try:
                answer = self.ask(
                    "POST",
                    "/api/v1/submissions/",
                    "upload by API",
                    (200, 202),
                    headers={"Idempotency-Key": key},
                    data={"phase": PLAN["phase"], "method": "A day"},
                    files={"archive": ("masks.zip", archive, "application/zip")},
                )
                break
            except Exception:
                if time.time() - began > PATIENCE:
                    raise
                gevent.sleep(2)
        number = answer.json()["id"]
        ACCEPTED[number] = key
        accepted = time.time()
        while True:
            headers = {"Prefer": "wait=30"}
            answer = self.ask("GET", f"/api/v1/submissions/{number}/", "wait=30 in the API", headers=headers)
            if answer.json()["state"] in ("scored", "invalid", "failed"):
                break
            if "Preference-Applied" not in answer.headers:
                gevent.sleep(2)
        note("wait", "accepted → score, API", time.time() - accepted)

    def by_form(self, team: int, archive: bytes, signs_in: bool) -> None:
        way = PLAN["teams"][str(team)]
        if signs_in:
            self.form("/accounts/login/", "log-in", {"login": way["name"], "password": PLAN["password"]})
        else:
            self.client.cookies.set(PLAN["cookie"], way["session"], secure=True)
        fields, answer = self.form(
            f"/c/{PLAN['competition']}/submit/",
            "upload by form",
            {"phase": PLAN["phase"], "method": "A day"},
            files={"archive": ("masks.zip", archive, "application/zip")},
        )
        path = answer.headers["Location"]
        ACCEPTED[int(path.strip("/").rpartition("/")[2])] = fields["form_key"]
        accepted = time.time()
        answer = self.ask("GET", path, "submission's page")
        while poll := POLL.search(answer.text):
            gevent.sleep(int(poll["pause"]) / 1000)
            path = html.unescape(poll["path"])
            answer = self.ask("GET", path, "submission's page, polled", headers={"HX-Request": "true"})
        note("wait", "accepted → score, page", time.time() - accepted)


class Visitor(Player):
    """Opens the board and watches it for a quarter of a minute."""

    kind, fixed_count = "visit", 200

    def play(self) -> None:
        self.client.cookies.clear()
        self.ask("GET", BOARD, "board")
        etag = ""
        for _ in range(3):
            gevent.sleep(5)
            headers = {"HX-Request": "true", "If-None-Match": etag}
            answer = self.ask("GET", BOARD, "board, polled", (200, 304), headers=headers)
            etag = answer.headers.get("ETag", etag)


class Script(Player):
    """Asks for the board in the API, with the ETag of last time."""

    kind, fixed_count = "script", 20
    etag = ""

    def play(self) -> None:
        path = f"/api/v1/phases/{PLAN['phase']}/leaderboard/"
        answer = self.ask("GET", path, "board in the API", (200, 304), headers={"If-None-Match": self.etag})
        self.etag = answer.headers.get("ETag", self.etag)
