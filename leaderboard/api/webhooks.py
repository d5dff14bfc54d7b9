"""The webhook of a team, for its owners."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import webhooks
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed, TooMany
from leaderboard.actions.teams import check_owner
from leaderboard.models import Team, Webhook

from .base import ViewSet
from .schema import problems
from .scopes import MANAGING_TEAMS
from .serializers.webhooks import NewWebhookSerializer, WebhookSerializer, WebhookWithSecretSerializer

ASKED = OpenApiExample(
    "for scores",
    value={"url": "https://example.org/hook", "events": ["submission.scored", "submission.invalid"]},
    request_only=True,
)


class WebhookViewSet(ViewSet):
    """The address of your team that is called when something happens. One per team; only owners see and change it.

    A call is a POST of JSON with `type`, `timestamp` and `data`, signed as the Standard Webhooks specification says:
    `webhook-signature` holds `v1,` and the base64 of HMAC-SHA256 over `webhook-id.webhook-timestamp.body`, with the
    bytes that follow `whsec_` in the secret, decoded from base64, as key. Answer with a status of 200 to 299 within
    ten seconds. Anything else is tried again for three days with growing pauses, with the same `webhook-id`; then the
    webhook is switched off. 410 switches it off at once. Scores that the phase hides from you are null.
    """

    serializer_class = WebhookSerializer
    permission_classes = [IsAuthenticated]
    needs = dict.fromkeys(("retrieve", "update", "destroy", "change_secret", "send_test"), MANAGING_TEAMS)
    queryset = Team.objects.none()

    def get_queryset(self) -> Any:
        return Team.objects.of(self.request.user).select_related("competition")

    def hook(self, team: Team) -> Webhook:
        return get_object_or_404(Webhook.objects.select_related("team"), team=team)

    def shown(self, hook: Webhook, secret: str, status: int = 200) -> Response:
        data = WebhookSerializer(hook, context=self.get_serializer_context()).data
        return Response({**data, "secret": secret}, status)

    @extend_schema(summary="The webhook", responses=problems(401, NotAllowed, 404, ok=WebhookSerializer))
    def retrieve(self, request: Request, pk: int) -> Response:
        """Its address, and how the last call ended. 404 if there is none. The secret is not shown again."""
        team = self.get_object()
        check_owner(request.user, team)
        return Response(self.get_serializer(self.hook(team)).data)

    @extend_schema(
        summary="Set the webhook",
        request=NewWebhookSerializer,
        responses=problems(InvalidInput, 401, NotAllowed, 404, ok=WebhookWithSecretSerializer),
        examples=[ASKED],
    )
    def update(self, request: Request, pk: int) -> Response:
        """Creates it, changes it, or switches it on again. `secret` is there when it is new, otherwise empty."""
        team = self.get_object()
        hook, secret = webhooks.set_webhook(request.user, team, **self.body(NewWebhookSerializer))
        return self.shown(hook, secret)

    @extend_schema(summary="Remove the webhook", responses=problems(401, NotAllowed, 404, status=204))
    def destroy(self, request: Request, pk: int) -> Response:
        """With its secret and the calls on their way."""
        webhooks.remove_webhook(request.user, self.get_object())
        return Response(status=204)

    @extend_schema(
        summary="Change the secret of the webhook",
        request=None,
        responses=problems(401, NotAllowed, 404, Conflict, ok=WebhookWithSecretSerializer),
    )
    def change_secret(self, request: Request, pk: int) -> Response:
        """A new secret. For a day, `webhook-signature` holds two signatures: one by each secret."""
        hook, secret = webhooks.change_secret(request.user, self.get_object())
        return self.shown(hook, secret)

    @extend_schema(
        summary="Send a test",
        request=None,
        responses=problems(401, NotAllowed, 404, Conflict, TooMany, status=202, ok=WebhookSerializer),
    )
    def send_test(self, request: Request, pk: int) -> Response:
        """A call of type `webhook.test`. How it ended stands in `last_ok` and `last_result` a moment later."""
        return Response(self.get_serializer(webhooks.send_test(request.user, self.get_object())).data, 202)
