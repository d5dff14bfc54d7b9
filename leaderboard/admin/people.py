"""People and their API tokens."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from leaderboard.models import ApiToken, User

from .base import OrganiserAdmin, Who
from .single_teams import PersonActs

admin.site.unregister(Group)  # rights go by competition and role (User.has_perm)

PERSON = ("username", ("first_name", "last_name"), "email", ("affiliation", "country"))


@admin.register(User)
class UserAdmin(PersonActs, DjangoUserAdmin):
    """Superusers manage accounts; organisers look up the people of their competitions."""

    adds = changes = Who.SUPERUSERS
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = (
        "username",
        "email",
        "affiliation",
        "country",
        "is_active",
        "is_staff",
        "date_joined",
        "last_login",
    )
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "email", "first_name", "last_name", "affiliation")
    readonly_fields = ("last_login", "date_joined")
    ordering = ("username",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": (*PERSON, "password")}),
        (
            "Rights",
            {
                "fields": ("is_active", "is_staff", "is_superuser"),
                "description": "An organiser needs staff status and must be named in the competition.",
            },
        ),
        ("Dates", {"fields": (("last_login", "date_joined"),)}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "usable_password", "password1", "password2")}),)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return ((None, {"fields": (*PERSON, ("last_login", "date_joined"))}),)
        return super().get_fieldsets(request, obj)


@admin.register(ApiToken)
class ApiTokenAdmin(OrganiserAdmin):
    """Lists tokens and revokes them. A token itself is shown only once, when it is created."""

    views = deletes = Who.SUPERUSERS
    adds = changes = Who.NOBODY
    list_display = ("name", "user", "beginning", "scope", "competition", "created", "expiry", "last_used_at")
    list_select_related = ("user", "competition")
    search_fields = ("name", "token_key", "user__username")
    fields = readonly_fields = (
        *("name", "user", "beginning", "scope", "competition", "note"),
        *("created", "expiry", "last_used_at", "last_used_from"),
    )

    @display(description="begins with")
    def beginning(self, token: ApiToken) -> str:
        return f"{token.token_key}…"
