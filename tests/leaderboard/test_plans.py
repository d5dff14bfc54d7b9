"""No address of the site reads a table whole that grows with teams or submissions."""

import pytest

from leaderboard.admin.long_lists import BoundedPaginator
from tests.leaderboard.factories import Cast
from tests.leaderboard.permissions import Stage, rows, viewers
from tests.plans import recorded, scans


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
