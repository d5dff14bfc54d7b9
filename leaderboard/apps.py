"""The app `leaderboard`."""

from django.apps import AppConfig


class LeaderboardConfig(AppConfig):
    """The one app of this project."""

    name = "leaderboard"
    label = "leaderboard"
    verbose_name = "Leaderboard"
    default_auto_field = "django.db.models.BigAutoField"
