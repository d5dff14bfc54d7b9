"""Django's admin as an app that loads its pages with the addresses of the site, not at every start."""

from typing import Any

from django.contrib.admin import autodiscover
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class LateAdminConfig(SimpleAdminConfig):
    """`leaderboard.urls` loads the pages, so that workers, beat and most commands start without them."""

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_pages, checks.Tags.admin)


def check_pages(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Django's check of the pages, whatever has been loaded before."""
    autodiscover()
    return check_admin_app(app_configs, **kwargs)
