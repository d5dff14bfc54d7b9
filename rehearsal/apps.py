"""The app `rehearsal`: no models, one command."""

from django.apps import AppConfig


class RehearsalConfig(AppConfig):
    """Plays a competition's calendar on a scratch database; the server never imports it."""

    name = "rehearsal"
