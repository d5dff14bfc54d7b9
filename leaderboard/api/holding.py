"""`Prefer: wait=30` (RFC 7240): an answer is held until a submission's state changes.

A held answer keeps a thread of the web server, so at most half of them hold; whoever comes then is answered at once, without
`Preference-Applied`. No database connection is kept between two looks.
"""

import re
import time
from threading import BoundedSemaphore

from django.conf import settings
from django.db import connection

from leaderboard.models import Submission

LONGEST = 30  # seconds
FIRST_LOOK, RAREST_LOOK = 0.1, 1.0  # seconds between two looks
WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*([0-9]{1,6})\s*(?:$|[,;])")

places = BoundedSemaphore(max(1, settings.WEB_THREADS // 2))


def asked_seconds(prefer: str) -> int:
    """How long to hold the answer, from the header `Prefer`; 0: not at all."""
    found = WAIT.search(prefer)
    return min(int(found[1]), LONGEST) if found else 0


def hold(submission: Submission, seconds: int) -> bool:
    """Return once the submission's state is another one or the time is over; False, at once, if all places are taken."""
    if not places.acquire(blocking=False):
        return False
    try:
        state, deadline, pause = submission.state, time.monotonic() + seconds, FIRST_LOOK
        while (left := deadline - time.monotonic()) > 0:
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(min(pause, left))
            pause = min(1.5 * pause, RAREST_LOOK)
            rows = Submission.objects.filter(pk=submission.pk)
            if rows.values_list("evaluation__state", flat=True).first() != state:
                break
        return True
    finally:
        places.release()
