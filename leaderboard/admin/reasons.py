"""The page between an organiser's button and the action: it says what will happen and asks for a reason."""

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from leaderboard.actions.refusals import Refusal
from leaderboard.pages.forms import RefusedForm

SHOWN = 20


class ReasonForm(RefusedForm, forms.Form):
    reason = forms.CharField(
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Stored in the audit log.",
    )


class PublicReasonForm(ReasonForm):
    """For an act that everyone can read about on the page Trust."""

    withhold = forms.CharField(
        label="Reason to keep this out of the public log",
        max_length=300,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Usually empty: everyone can read the act and its reason. The page Trust says how many entries are "
        "withheld.",
    )


def ask_for_reason(
    model_admin: Any,
    request: HttpRequest,
    *,
    title: str,
    explanation: str,
    undo: str,
    button: str,
    rows: Iterable[Any],
    act: Callable[..., Any],
    done: Callable[[Any], str],
    back: str,
    form_class: Callable[..., Any] = ReasonForm,
) -> HttpResponse:
    """Show the page, or, once it is sent with a reason, do the act and go back with a sentence about it.

    ``undo`` says how the act is undone, or that it cannot be. ``act`` gets ``reason`` and whatever else ``form_class`` asks for, by name; ``done`` makes a sentence of what it
    returned. A refusal is shown on the page.
    """
    if isinstance(rows, QuerySet):
        number, rows = rows.count(), list(rows[:SHOWN])
    else:
        rows = list(rows)
        number = len(rows)
    form = form_class(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        try:
            outcome = act(**form.cleaned_data)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, done(outcome))
            return HttpResponseRedirect(back)
    kept = {
        name: request.POST.getlist(name)
        for name in ("action", "select_across", "index", ACTION_CHECKBOX_NAME)
    }
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": title,
        "explanation": explanation,
        "undo": undo,
        "button": button,
        "rows": rows[:SHOWN],
        "more": max(0, number - SHOWN),
        "kept": [(name, value) for name, values in kept.items() for value in values],
        "form": form,
        "back": back,
    }
    return TemplateResponse(request, "admin/leaderboard/reason.html", context)


def ask_about(
    model_admin: Any,
    request: HttpRequest,
    pk: int,
    button: str,
    explanation: str,
    act: Callable[..., Any],
    *,
    undo: str,
    done: Callable[[Any], str],
    back: str = "",
    row: Callable[[Any], str] = str,
    form_class: Callable[..., ReasonForm] = ReasonForm,
) -> HttpResponse:
    """``ask_for_reason`` for a button on the page of one object, among those that the user may see.

    ``act`` gets user, object and what ``form_class`` asks for, by name; ``done`` makes a sentence of the object; ``back``: its own page by default.
    """
    objects = model_admin.get_queryset(request)
    found = get_object_or_404(objects, pk=pk)
    return ask_for_reason(
        model_admin,
        request,
        title=f"{button}: {found}",
        explanation=explanation,
        undo=undo,
        button=button,
        rows=[row(found)],
        act=lambda **asked: act(request.user, found, **asked),
        done=lambda _: done(found),
        back=back or reverse(f"admin:{objects.model._meta.label_lower.replace('.', '_')}_change", args=[pk]),
        form_class=form_class,
    )
