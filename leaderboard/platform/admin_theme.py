"""The look and menu of the admin, for ``settings.UNFOLD``. Imports no models, because settings import it."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _page(title: str, icon: str, name: str, *, superusers: bool = False) -> dict[str, Any]:
    link = reverse_lazy(f"admin:leaderboard_{name}")
    item: dict[str, Any] = {"title": title, "icon": icon, "link": link}
    if name.startswith("phase_"):  # ranking URLs are below the phases'; mark only one as active
        rankings = name == "phase_rankings"
        item["active"] = lambda request: (
            "/phase/" in request.path and request.path.endswith("/rankings/") == rankings
        )
    if superusers:
        item["permission"] = lambda request: request.user.is_superuser
    return item


MENU: list[dict[str, Any]] = [
    {
        "title": "Judging",
        "items": [
            {"title": "Today", "icon": "today", "link": reverse_lazy("admin:index")},
            _page("Rankings", "leaderboard", "phase_rankings"),
            _page("Submissions", "upload_file", "submission_changelist"),
            _page("Evaluations", "rule", "evaluation_changelist"),
            _page("Attempts", "receipt_long", "attempt_changelist"),
            _page("Reports", "analytics", "phasereport_changelist"),
            _page("To review", "troubleshoot", "review_changelist"),
        ],
    },
    {
        "title": "Competition",
        "items": [
            _page("Competitions", "trophy", "competition_changelist"),
            _page("Phases", "event", "phase_changelist"),
            _page("Pages", "article", "page_changelist"),
            _page("Pictures", "image", "picture_changelist"),
            _page("Data files", "folder_zip", "datafile_changelist"),
            _page("Announcements", "campaign", "announcement_changelist"),
            _page("Questions", "forum", "question_changelist"),
            _page("Terms", "gavel", "terms_changelist"),
            _page("Label sets", "lock", "labelset_changelist"),
            _page("Label reports", "flag", "labelreport_changelist"),
            _page("Prizes", "redeem", "prize_changelist"),
            _page("Awards", "emoji_events", "award_changelist"),
            _page("Rehearsals", "theater_comedy", "rehearsal_changelist"),
            _page("Published entries", "menu_book", "publishedentry_changelist"),
        ],
    },
    {
        "title": "People",
        "items": [
            _page("Teams", "groups", "team_changelist"),
            _page("Terms accepted", "check_circle", "termsacceptance_changelist"),
            _page("Extensions", "more_time", "extension_changelist"),
            _page("Memberships", "group_add", "membership_changelist"),
            _page("Requests to join", "person_add", "joinrequest_changelist"),
            _page("Mergers", "merge", "merger_changelist"),
            _page("Method descriptions", "description", "methoddescription_changelist"),
            _page("Helpers and jury", "badge", "role_changelist"),
            _page("Jury votes", "how_to_vote", "juryvote_changelist"),
            _page("People", "person", "user_changelist"),
            _page("API tokens", "key", "apitoken_changelist", superusers=True),
        ],
    },
    {
        "title": "Records",
        "items": [
            _page("Bulk acts", "checklist", "bulkact_changelist"),
            _page("Audit log", "history_edu", "auditentry_changelist"),
            _page("Outbox", "outgoing_mail", "mail_changelist"),
            _page("Refused uploads", "do_not_disturb_on", "refusedupload_changelist"),
            _page("Workers", "memory", "worker_changelist"),
        ],
    },
]

# Shades of green; from 600 on, white text has a contrast of at least 4.5 : 1.
GREEN = {
    "50": "oklch(97% .02 160)",
    "100": "oklch(94% .04 160)",
    "200": "oklch(88% .07 160)",
    "300": "oklch(80% .10 160)",
    "400": "oklch(70% .12 160)",
    "500": "oklch(58% .11 160)",
    "600": "oklch(48% .09 160)",
    "700": "oklch(41% .08 160)",
    "800": "oklch(34% .06 160)",
    "900": "oklch(28% .05 160)",
    "950": "oklch(20% .04 160)",
}


def theme(site_name: str) -> dict[str, Any]:
    """Settings of django-unfold for a site with this name."""
    return {
        "SITE_TITLE": f"{site_name}: organisers",
        "SITE_HEADER": site_name,
        "SITE_SUBHEADER": "Organisers",
        "SITE_SYMBOL": "satellite_alt",
        "SITE_FAVICONS": [
            {
                "rel": "icon",
                "type": "image/svg+xml",
                "href": lambda request: static("leaderboard/logo.svg"),
            }
        ],
        "STYLES": [lambda request: static("leaderboard/admin.css")],
        "SCRIPTS": [
            lambda request: static("leaderboard/admin.js"),
            lambda request: static("leaderboard/admin-alpine.js"),
        ],
        "SITE_URL": "/",
        "SHOW_VIEW_ON_SITE": False,
        "DASHBOARD_CALLBACK": "leaderboard.admin.desk.overview",
        "COLORS": {"primary": GREEN},
        "SIDEBAR": {"show_search": False, "navigation": "leaderboard.admin.menu.menu"},
    }
