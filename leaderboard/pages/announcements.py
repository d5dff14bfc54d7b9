"""What the organisers announced: a page and a feed."""

from typing import Any

from django.contrib.syndication.views import Feed
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.feedgenerator import Atom1Feed

from leaderboard.models import Announcement, Competition
from leaderboard.platform.markdown import render as render_markdown

from .page_context import find_competition, render_in

SHOWN = 50


def public(competition: Competition) -> Any:
    return competition.announcements.public(timezone.now())


def announcements(request: HttpRequest, slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    context = {"announcements": public(competition)[:SHOWN]}
    return render_in(request, competition, "competition/announcements.html", context)


class AnnouncementFeed(Feed):
    """Atom feed of a competition's public announcements."""

    feed_type = Atom1Feed

    def get_object(self, request: HttpRequest, slug: str) -> Competition:
        return find_competition(request, slug)

    def title(self, competition: Competition) -> str:
        return f"{competition.name}: announcements"

    def link(self, competition: Competition) -> str:
        return reverse("pages:announcements", args=[competition.slug])

    def items(self, competition: Competition) -> Any:
        return public(competition)[:SHOWN]

    def item_title(self, announcement: Announcement) -> str:
        return announcement.title

    def item_description(self, announcement: Announcement) -> str:
        return render_markdown(announcement.body)

    def item_pubdate(self, announcement: Announcement) -> Any:
        return announcement.publish_at

    def item_link(self, announcement: Announcement) -> str:
        page = reverse("pages:announcements", args=[announcement.competition.slug])
        return f"{page}#announcement-{announcement.pk}"
