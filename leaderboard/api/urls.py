"""Every address under /api/."""

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from .account import AccountViewSet
from .admission import AdmissionView
from .competitions import AnnouncementViewSet, CompetitionViewSet
from .phases import PhaseViewSet
from .questions import QuestionViewSet
from .root import DocsView, RootView, SchemaView, UnknownView
from .rosters import InvitationViewSet, JoinRequestViewSet, MergerViewSet
from .submissions import AttemptViewSet, SubmissionViewSet
from .teams import TeamViewSet
from .tokens import TokenViewSet
from .uploads import UploadsView, UploadView
from .webhooks import WebhookViewSet

router = SimpleRouter(use_regex_path=False)
router.register("competitions", CompetitionViewSet, "competition")
router.register("competitions/<slug:slug>/announcements", AnnouncementViewSet, "announcement")
router.register("phases", PhaseViewSet, "phase")
router.register("teams", TeamViewSet, "team")
router.register("join-requests", JoinRequestViewSet, "join-request")
router.register("invitations", InvitationViewSet, "invitation")
router.register("mergers", MergerViewSet, "merger")
router.register("questions", QuestionViewSet, "question")
router.register("submissions", SubmissionViewSet, "submission")
router.register("attempts", AttemptViewSet, "attempt")
router.register("tokens", TokenViewSet, "token")
router.register("account", AccountViewSet, "account")

webhook = WebhookViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})
webhook_secret = WebhookViewSet.as_view({"post": "change_secret"})
webhook_test = WebhookViewSet.as_view({"post": "send_test"})

app_name = "api"
urlpatterns = [
    path("admission", AdmissionView.as_view(), name="admission"),
    path("v1/", RootView.as_view(), name="root"),
    path("v1/schema/", SchemaView.as_view(), name="schema"),
    path("v1/docs/", DocsView.as_view(), name="docs"),
    path(
        "v1/phases/<int:pk>/leaderboard.csv",
        PhaseViewSet.as_view({"get": "leaderboard_csv"}, detail=True),
        name="phase-leaderboard-csv",
    ),
    path("v1/uploads/", UploadsView.as_view(), name="uploads"),
    path("v1/uploads/<uuid:pk>/", UploadView.as_view(), name="upload"),
    path("v1/teams/<int:pk>/webhook/", webhook, name="team-webhook"),
    path("v1/teams/<int:pk>/webhook/secret/", webhook_secret, name="team-webhook-secret"),
    path("v1/teams/<int:pk>/webhook/test/", webhook_test, name="team-webhook-test"),
    path("v1/", include(router.urls)),
    re_path(r"^[\s\S]*$", UnknownView.as_view(), name="unknown"),
]
