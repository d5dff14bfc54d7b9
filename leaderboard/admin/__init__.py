"""The organisers' side: Django's admin in the unfold theme.

It holds no rule: it shows QuerySets and calls ``leaderboard.actions``. Anyone but a superuser sees and changes only
the competitions that they organise (``scope``), and every change is written into the audit log (``base``).
"""

from . import (
    announcements,
    audit,
    awards,
    bulk,
    competitions,
    content,
    corrections,
    labels,
    mails,
    people,
    phases,
    published,
    questions,
    rehearsals,
    reports,
    reviews,
    roles,
    rosters,
    server,
    single_teams,
    submissions,
    teams,
    terms,
)

__all__ = [
    "announcements", "audit", "awards", "bulk", "competitions", "content", "corrections", "labels", "mails",
    "people", "phases", "published", "questions", "rehearsals", "reports", "reviews", "roles", "rosters", "server",
    "single_teams", "submissions", "teams", "terms",
]  # fmt: skip
