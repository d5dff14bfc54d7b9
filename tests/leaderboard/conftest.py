"""The cast of every view test: owner, teammate, rival, stranger, organiser (see ``factories.Cast``)."""

import pytest

from tests.leaderboard.factories import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()
