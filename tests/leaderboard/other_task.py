"""A server whose task is about floods: prints each page or mail that speaks of landslides; exits with 1 if there is one."""

import os
import re
import sys
from dataclasses import replace

import django

import evaluation.task

evaluation.task.TASK = replace(
    evaluation.task.TASK, name="Flood cup", classes=("no flood", "flood"), objects="floods"
)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402

WORD = re.compile(r"landslide", re.IGNORECASE)


def main() -> int:
    from leaderboard.models import Competition, Mail
    from tests import quick
    from tests.leaderboard import factories
    from tests.leaderboard.permissions import ROLES, Stage, rows

    setup_test_environment()
    quick.prepare()
    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**6)
    cast = factories.make_cast()
    Competition.objects.filter(pk=cast.competition.pk).update(name="Floods 2027", slug="floods")
    cast.competition.refresh_from_db()
    stage = Stage(cast)
    pages, found = 0, []
    for row in rows():
        if row.method != "GET":
            continue
        for role in (role for role, cell in zip(ROLES, row.cells, strict=True) if cell == "200"):
            answer = stage.ask(row, role)
            assert answer.status_code == 200, f"{row} as {role}: {answer.status_code}"
            pages += 1
            found += [f"{row} as {role}: …{near}…" for near in spoken(answer.text_told)]
    for mail in Mail.objects.all():
        found += [f"mail {mail.subject}: …{near}…" for near in spoken(f"{mail.subject} {mail.text}")]
    print("\n".join(sorted(set(found))))
    print(f"{pages} pages speak of floods")
    return 1 if found or not pages else 0


def spoken(text: str) -> list[str]:
    return [text[max(0, hit.start() - 60) : hit.end() + 40].replace("\n", " ") for hit in WORD.finditer(text)]


if __name__ == "__main__":
    sys.exit(main())
