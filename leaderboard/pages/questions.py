"""Questions to the organisers, and their answers."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from leaderboard.actions import questions as actions
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Competition, Question

from .boards import page_number
from .forms import AnswerForm, QuestionForm
from .page_context import find_competition, render_in, signed_in

SHOWN = 20


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def questions(request: HttpRequest, slug: str) -> HttpResponse:
    """What has been answered, the viewer's own questions, and a form to ask; for organisers, also what is open."""
    competition = find_competition(request, slug)
    if request.method == "POST" and not request.user.is_authenticated:
        return redirect_to_login(request.path)
    form, refusal = QuestionForm(request.POST or None), None
    if form.is_valid():
        try:
            actions.ask(request.user, competition, **form.cleaned_data)
        except Refusal as refused:
            form.refuse(refused)
            refusal = refused
        else:
            messages.success(
                request, "The organisers have your question. You get a mail when they have answered."
            )
            return redirect("pages:questions", slug)
    response = render_in(
        request, competition, "questions/list.html", list_context(request, competition, form)
    )
    if request.method == "POST":
        response.status_code = refusal.status if refusal else 400
    return response


def list_context(request: HttpRequest, competition: Competition, form: QuestionForm) -> dict[str, Any]:
    rows = competition.questions.visible_to(request.user)
    chosen, asked = request.GET.get("show", ""), request.GET.get("q", "").strip()[:100]
    shown = {"mine": rows.filter(asked_by=request.user.pk), "open": rows.open()}.get(chosen, rows)
    found = shown.containing(asked) if asked else shown
    pages = Paginator(found.order_by("-created_at", "-pk"), SHOWN)
    number = page_number(request)
    if number > pages.num_pages:
        raise Http404
    return {
        "form": form,
        "page": pages.page(number),
        "q": asked,
        "show": chosen if chosen in ("mine", "open") else "",
        "organises": competition.is_helped_by(request.user),
        "to_answer": rows.open().count() if request.user.is_authenticated else 0,
    }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def question(request: HttpRequest, slug: str, pk: int) -> HttpResponseBase:
    """One question; organisers answer it here."""
    competition = find_competition(request, slug)
    found = get_object_or_404(
        competition.questions.visible_to(request.user).select_related("asked_by"), pk=pk
    )
    if request.method == "POST":
        return answer(request, competition, found)
    return show_question(request, competition, found, AnswerForm(found))


@signed_in
def answer(request: HttpRequest, competition: Competition, found: Question) -> HttpResponse:
    form, status = AnswerForm(found, request.POST), 400
    if form.is_valid():
        try:
            actions.answer(request.user, found, form.cleaned_data["answer"], form.cleaned_data["public"])
        except Refusal as refused:
            form.refuse(refused)
            status = refused.status
        else:
            messages.success(request, "Answered. Whoever asked gets a mail.")
            return redirect("pages:question", competition.slug, found.pk)
    found.refresh_from_db()
    response = show_question(request, competition, found, form)
    response.status_code = status
    return response


def show_question(
    request: HttpRequest, competition: Competition, found: Question, form: AnswerForm
) -> HttpResponse:
    context = {"question": found, "form": form, "organises": competition.is_helped_by(request.user)}
    return render_in(request, competition, "questions/question.html", context)
