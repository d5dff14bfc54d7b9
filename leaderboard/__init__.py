"""The Django project and its one app: settings, models, actions, pages, REST API and admin of the leaderboard."""

from leaderboard.celery import app as celery_app

__all__ = ["celery_app"]
