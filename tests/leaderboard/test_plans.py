"""No address of the site reads a table whole that grows with teams or submissions."""

from datetime import timedelta

import pytest
from django.utils import timezone

from leaderboard.admin.long_lists import BoundedPaginator
from leaderboard.models import Notice, Phase, Team
from leaderboard.notifications import notices, webhooks
from tests.leaderboard.factories import Cast
from tests.leaderboard.permissions import Stage, rows, viewers
from tests.plans import LARGE, recorded, scans


@pytest.mark.django_db
@pytest.mark.skipif("config.getoption('backend') != 'sqlite'", reason="small tables: PostgreSQL scans them")
@pytest.mark.timeout(300)
def test_no_address_reads_a_growing_table_whole(cast: Cast, settings, monkeypatch) -> None:
    monkeypatch.setattr(BoundedPaginator, "count", 10**6)  # else a list of one page is read without a LIMIT
    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**6)
    stage = Stage(cast)
    found = set()
    for row in rows():
        for role in viewers(row):
            with recorded() as queries:
                stage.ask(row, role)
            found |= {f"{row} as {role}: {table}" for table in scans(queries)}
    assert not found, "\n".join(sorted(found))


@pytest.mark.django_db
@pytest.mark.skipif("config.getoption('backend') != 'sqlite'", reason="small tables: PostgreSQL scans them")
def test_the_job_of_notices_reads_no_growing_table_whole(cast: Cast) -> None:
    """It runs every ten seconds, mostly with nothing to do."""
    Stage(cast)
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=timezone.now() + timedelta(hours=23))
    Team.objects.update(created_at=timezone.now() - timedelta(days=9))
    for _ in range(2):
        with recorded() as queries:
            notices.work()
            webhooks.deliver()
        found = scans(queries, {*LARGE, "leaderboard_notice", "leaderboard_webhookcall"})
        assert not found, "\n".join(sorted(found))
    assert Notice.objects.filter(kind="scored").exists()
