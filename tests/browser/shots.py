"""Every page of the site, and the states of a page that only something done on it shows: what `make screenshots` takes."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from playwright.sync_api import Page

SLOW = 20_000  # bytes per second


class Shot(NamedTuple):
    """A page, who opens it (nobody, team or organiser), and what is done on it before the picture."""

    name: str
    role: str
    path: str
    act: str = ""


def _choose(page: Page, archive: str) -> None:
    page.get_by_label("Archive", exact=True).set_input_files(archive)
    page.wait_for_selector("[data-check-panel]:not([data-state=running])")


def _send(page: Page, rows: dict[str, Any]) -> None:
    """Press Submit on a slow line; nothing is ever complete, and nothing counts."""
    _choose(page, rows["archive"])
    page.get_by_label("Method").fill("U-Net")
    page.context.new_cdp_session(page).send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": SLOW},
    )
    page.get_by_role("button", name="Submit", exact=True).click()


def _progress(page: Page, rows: dict[str, Any]) -> None:
    _send(page, rows)
    page.get_by_text(re.compile(r"\d+ % · .*/s")).wait_for()


def _paused(page: Page, rows: dict[str, Any]) -> None:
    _progress(page, rows)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for()


def _cut(page: Page, rows: dict[str, Any]) -> None:
    page.route("**/api/v1/uploads/**", lambda route: route.abort())
    page.route("**/api/v1/uploads/", lambda route: route.abort())
    _send(page, rows)
    page.get_by_text("The connection is lost.").first.wait_for()


def _error(page: Page, rows: dict[str, Any]) -> None:
    _progress(page, rows)
    page.get_by_role("button", name="Stop the upload").click()
    page.get_by_text("You stopped the upload.").wait_for()


def _same(page: Page, rows: dict[str, Any]) -> None:
    _choose(page, rows["archive"])
    page.get_by_label("Method").fill("U-Net")
    page.get_by_role("button", name="Submit", exact=True).click()
    page.get_by_text("has the same bytes as").first.wait_for()


ACTS: dict[str, Callable[[Page, dict[str, Any]], None]] = {
    "good archive": lambda page, rows: _choose(page, rows["archive"]),
    "bad archive": lambda page, rows: _choose(page, rows["bad"]),
    "progress": _progress,
    "paused": _paused,
    "cut": _cut,
    "error": _error,
    "same archive": _same,
}

COMPETITION, ADMIN = "/c/{slug}/", "/admin/leaderboard/"
LISTS = (
    *("competition", "phase", "submission", "evaluation", "attempt", "phasereport", "review", "page"),
    *("announcement", "labelset", "labelreport", "prize", "award", "publishedentry", "team", "membership"),
    *("joinrequest", "merger", "methoddescription", "user", "auditentry", "mail"),
    *("refusedupload", "worker", "question", "bulkact", "terms", "termsacceptance", "picture", "datafile"),
    *("rehearsal", "role", "juryvote", "extension"),
)
PAGES: dict[str, dict[str, str | tuple[str, str]]] = {
    "nobody": {
        "home": "/",
        "guide": "/guide/",
        "status": "/status/",
        "sign-in": "/accounts/login/",
        "sign-up": "/accounts/signup/",
        "password-reset": "/accounts/password/reset/",
        "not-found": "/no-such-page/",
        "api-docs": "/api/v1/docs/",
        "overview": COMPETITION,
        "announcements": f"{COMPETITION}announcements/",
        "board": f"{COMPETITION}board/validation/",
        "board-empty": f"{COMPETITION}board/test/",
        "board-embed": f"{COMPETITION}board/validation/embed/",
        "statistics": f"{COMPETITION}statistics/",
        "trust": f"{COMPETITION}trust/",
        "labels": f"{COMPETITION}labels/validation/",
        "winners": f"{COMPETITION}winners/",
        "questions": f"{COMPETITION}questions/",
        "data": f"{COMPETITION}data/",
        "rules": f"{COMPETITION}rules/",
        "history-overview": "/c/{history}/",
        "history-board": "/c/{history}/board/validation/",
        "history-board-past": "/c/{history}/board/validation/?on=2022-05-20",
        "history-report": "/c/{history}/report/test/",
        "history-statistics": "/c/{history}/statistics/",
    },
    "team": {
        "home-member": "/",
        "overview-member": COMPETITION,
        "board-member": f"{COMPETITION}board/validation/",
        "submit": f"{COMPETITION}submit/",
        "submit-good": (f"{COMPETITION}submit/", "good archive"),
        "submit-bad": (f"{COMPETITION}submit/", "bad archive"),
        "submit-progress": (f"{COMPETITION}submit/", "progress"),
        "submit-paused": (f"{COMPETITION}submit/", "paused"),
        "submit-cut": (f"{COMPETITION}submit/", "cut"),
        "submit-error": (f"{COMPETITION}submit/", "error"),
        "submit-same": (f"{COMPETITION}submit/", "same archive"),
        "questions-member": f"{COMPETITION}questions/",
        "my-submissions": f"{COMPETITION}submissions/",
        "message": COMPETITION + "submissions/compare/?id={submission}",
        "team": f"{COMPETITION}team/",
        "webhook": COMPETITION + "team/webhook/",
        "team-page": COMPETITION + "teams/{team}/",
        "submission": "/submissions/{submission}/",
        "invalid": "/submissions/{invalid}/",
        "compare": COMPETITION + "submissions/compare/?id={submission}&id={other}",
        "masks": "/submissions/{submission}/masks/",
        "masks-change": "/submissions/{submission}/masks/?show=change&order=changed",
        "account": "/account/",
        "access": "/account/access/",
        "mails": "/account/notifications/",
        "second-factor": "/account/second-factor/",
        "passkeys": "/accounts/2fa/webauthn/",
        "email": "/accounts/email/",
        "password-change": "/accounts/password/change/",
        "two-factor": "/accounts/2fa/",
        "two-factor-app": "/accounts/2fa/totp/activate/",
        "delete-account": "/account/delete/",
    },
    "organiser": {
        "masks-errors": "/submissions/{submission}/masks/?show=errors&order=worst",
        "questions-organiser": f"{COMPETITION}questions/",
        "admin": "/admin/",
        **{f"admin-{name}-list": f"{ADMIN}{name}/" for name in LISTS},
        "admin-new-competition": f"{ADMIN}competition/new/",
        "admin-publish": ADMIN + "competition/{competition}/publish/",
        "admin-apply-file": ADMIN + "competition/{competition}/apply_file/",
        "admin-page": f"{ADMIN}page/add/",
        "jury": f"{COMPETITION}jury/",
        "admin-competition": ADMIN + "competition/{competition}/change/",
        "admin-phase": ADMIN + "phase/{phase}/change/",
        "admin-submission": ADMIN + "submission/{submission}/change/",
        "admin-team": ADMIN + "team/{team}/change/",
        "admin-new-announcement": f"{ADMIN}announcement/add/",
        "admin-load-labels": ADMIN + "phase/{phase}/load_labels/",
        "admin-load-images": ADMIN + "phase/{phase}/load_images/",
        "admin-extend": ADMIN + "team/{team}/extend/",
        "admin-rankings": ADMIN + "phase/{phase}/rankings/",
    },
}
SITE = [
    Shot(name, role, *((path,) if isinstance(path, str) else path))
    for role, pages in PAGES.items()
    for name, path in pages.items()
]
