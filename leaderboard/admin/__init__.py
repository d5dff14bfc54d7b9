"""The organisers' side: Django's admin in the unfold theme.

It holds no rule: it shows QuerySets and calls ``leaderboard.actions``. Who is no superuser sees and changes only the
competitions that he or she organises (``scope``), and every change is written into the audit log (``base``).
"""

from . import (
    audit,
    awards,
    competitions,
    corrections,
    mails,
    people,
    reports,
    reviews,
    rosters,
    submissions,
    teams,
)

__all__ = [
    "audit", "awards", "competitions", "corrections", "mails", "people", "reports", "reviews", "rosters",
    "submissions", "teams",
]  # fmt: skip
