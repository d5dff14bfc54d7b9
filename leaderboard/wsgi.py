"""The WSGI application that waitress and gunicorn serve."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from leaderboard.platform import garbage

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.settings")

application = get_wsgi_application()
get_resolver().url_patterns  # noqa: B018 - loads every page now, instead of with the first request
garbage.keep_what_is_loaded()
