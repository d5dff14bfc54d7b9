"""The menu that a person sees: helpers are not shown lists that are empty for them."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from leaderboard.models import Competition
from leaderboard.platform.admin_theme import MENU

from .base import Helpers


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """All of it for organisers; for a helper, today's page and what helpers may see."""
    if request.user.is_superuser or Competition.objects.organised_by(request.user).exists():
        return MENU
    pages = admin.site._registry.items()
    shown = tuple(
        f"/{model._meta.app_label}/{model._meta.model_name}/"
        for model, page in pages
        if getattr(page, "helpers", Helpers.NOTHING) is not Helpers.NOTHING
    )
    today = "/admin/"
    groups = [
        {**group, "items": [item for item in group["items"] if str(item["link"]).endswith((today, *shown))]}
        for group in MENU
    ]
    return [group for group in groups if group["items"]]
