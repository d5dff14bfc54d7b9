"""What every page of the admin has in common: scope, rights, audit, export."""

from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse
from import_export.admin import ExportMixin
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.contrib.import_export.forms import ExportForm

from leaderboard.models import AuditEntry
from leaderboard.models.ownership import competition_of

from .exports import FORMATS
from .long_lists import BoundedPaginator
from .scope import choices, within

NEVER_LOGGED = frozenset({"password"})
NOT_A_CHANGE = frozenset({"reason", "withhold", "confirmed"})  # what a form asks beside its model's fields


class Who(Enum):
    """Who may do something in the admin, within their scope."""

    NOBODY = 0
    SUPERUSERS = 1
    ORGANISERS = 2

    def has(self, user: Any) -> bool:
        return self is Who.ORGANISERS or (self is Who.SUPERUSERS and user.is_superuser)


class Helpers(Enum):
    """What helpers of a competition may do on a page of the admin; labels and scores are on none that they may see."""

    NOTHING = 0
    LOOK = 1
    CHANGE = 2


class Audited(admin.ModelAdmin):
    """Every addition, change and deletion becomes an entry of the audit log, in the same transaction.

    A change writes only the changed columns, so that it cannot undo what the server wrote in the meantime.
    """

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            return super().save_model(request, obj, form, change)
        columns = [name for name in form.changed_data if is_column(obj, name)]
        if columns:
            obj.save(update_fields=columns)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        entry = self.entry_of(form, not add)
        details = changes_of(form, formsets or []) | entry.pop("details", {})
        request.audit_entry = {"details": details, **entry}  # type: ignore[attr-defined]
        return super().construct_change_message(request, form, formsets, add)

    def entry_of(self, form: Any, change: bool) -> dict[str, Any]:
        """What the audit entry of this form says beyond the changes: ``reason``, ``public``, more ``details``."""
        return {}

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self.log_act(request, "added", obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self.log_act(request, "changed", obj)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self.log_act(request, "deleted", obj, {"id": obj.pk})
        return super().log_deletions(request, queryset)

    def log_act(
        self, request: HttpRequest, act: str, obj: Any, details: dict[str, Any] | None = None
    ) -> None:
        AuditEntry.objects.append(
            f"{self.opts.verbose_name} {act}",
            competition=competition_of(obj),
            actor=request.user,
            subject=str(obj),
            **({"details": details} if details else getattr(request, "audit_entry", {})),
        )


def is_column(obj: models.Model, name: str) -> bool:
    try:
        field = obj._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return bool(getattr(field, "concrete", False)) and not field.many_to_many


def changes_of(form: Any, formsets: Any) -> dict[str, Any]:
    """What a form and its inline formsets changed, as text: {"name": ["before", "after"], ...}."""
    changed = [name for name in form.changed_data if name not in NOT_A_CHANGE]
    changes: dict[str, Any] = {name: _before_after(form, name) for name in changed}
    for formset in formsets:
        kind = formset.model._meta.verbose_name
        for obj in formset.new_objects:
            changes.setdefault(f"{kind} added", []).append(str(obj))
        for obj, _ in formset.changed_objects:
            changes.setdefault(f"{kind} changed", []).append(str(obj))
        for obj in formset.deleted_objects:
            changes.setdefault(f"{kind} deleted", []).append(str(obj))
    return changes


def _before_after(form: Any, name: str) -> list[str]:
    if name in NEVER_LOGGED:
        return ["…", "…"]
    return [_text(form.initial.get(name)), _text(form.cleaned_data.get(name))]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple | models.QuerySet):
        return ", ".join(sorted(str(getattr(item, "pk", item)) for item in value))
    if isinstance(value, models.Model):
        value = value.pk
    return "" if value is None else str(value)[:300]


def number_of(rows: models.QuerySet[Any], field: str) -> Coalesce:
    """How many rows point at each row of the list by ``field``: a subquery, so that the list keeps its order."""
    counted = rows.filter(**{field: models.OuterRef("pk")}).order_by().values(field)
    return Coalesce(models.Subquery(counted.annotate(n=models.Count("pk")).values("n")), 0)


class ScopedRelatedFilter(RelatedDropdownFilter):
    """A filter by a related row that offers only what the organiser may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(row.pk, str(row)) for row in choices(field.remote_field.model, request.user)]


class OrganiserAdmin(Audited, ModelAdmin):
    """A page of the admin for organisers, each limited to their own competitions."""

    views, adds, changes, deletes = Who.ORGANISERS, Who.ORGANISERS, Who.ORGANISERS, Who.NOBODY
    helpers = Helpers.NOTHING
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 50
    compressed_fields = True
    warn_unsaved_form = True
    list_filter_sheet = False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        helped = self.helpers is not Helpers.NOTHING
        return within(super().get_queryset(request), request.user, helped=helped)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Every date and time says in which zone it is."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(db_field, models.DateField):  # a DateTimeField is one too
            field.label = f"{field.label or db_field.verbose_name} (UTC)"
        return field

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        helped = self.helpers is Helpers.CHANGE
        kwargs.setdefault("queryset", choices(db_field.remote_field.model, request.user, helped=helped))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", choices(db_field.remote_field.model, request.user))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.views.has(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.views.has(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.adds.has(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.changes.has(request.user) and self.is_theirs(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.deletes.has(request.user) and self.is_theirs(request, obj)

    def is_theirs(self, request: HttpRequest, obj: Any) -> bool:
        """Whether the user organises the row's competition, or helps with it where helpers may change this."""
        if obj is None or request.user.is_superuser or self.helpers is not Helpers.LOOK:
            return True  # the queryset holds no other rows
        competition = competition_of(obj)
        if competition is None:
            return True
        # A page asks about the same row many times; the answer holds for this request.
        known: dict[Any, bool] = vars(request).setdefault("_organised", {})
        if competition.pk not in known:
            known[competition.pk] = competition.is_organised_by(request.user)
        return known[competition.pk]

    def get_actions(self, request: HttpRequest) -> Any:
        """Without Django's "delete selected": rows that may be deleted are deleted one by one, on their own pages."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


def once(shown: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """For a displayed value that asks the database: the theme calls it several times for a page, this asks once a row."""
    name = f"_once_{shown.__name__}"

    @wraps(shown)
    def kept(self: Any, obj: Any) -> Any:
        if obj is None:
            return shown(self, obj)
        if name not in vars(obj):
            setattr(obj, name, shown(self, obj))
        return vars(obj)[name]

    return kept


class ReadOnlyInline(TabularInline):
    """Rows that belong to the one shown: read-only here, changed on their own pages."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class FormatForm(ExportForm):
    """Which format: CSV unless another one is chosen."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("format", "0")


class Exported(ExportMixin):
    """An admin page whose list, as filtered, can be saved as CSV or JSON."""

    export_form_class = FormatForm
    to_encoding = "utf-8"

    def get_export_formats(self) -> list[Any]:
        return FORMATS

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def export_action(self, request: HttpRequest) -> Any:
        try:
            return super().export_action(request)
        except IncorrectLookupParameters:  # the same answer as the list itself gives to an unknown filter
            return redirect(
                f"{reverse(f'admin:{self.opts.app_label}_{self.opts.model_name}_changelist')}?e=1"
            )

    def get_valid_export_item_pks(self, request: HttpRequest) -> Any:
        return self.get_queryset(request).values_list("pk", flat=True)
