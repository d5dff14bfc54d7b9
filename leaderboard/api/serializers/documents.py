"""What is handed over as a document: a receipt, a person's data."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from .submissions import CountsSerializer


class PercentsSerializer(serializers.Serializer):
    """In percent with two decimals; a hidden metric is missing."""

    f1 = serializers.CharField(required=False, help_text="F1 in percent.")
    precision = serializers.CharField(required=False, help_text="Precision in percent.")
    recall = serializers.CharField(required=False, help_text="Recall in percent.")


class StatementSerializer(serializers.Serializer):
    """What the server states about a submission and its score."""

    format = serializers.CharField(help_text="Names the form of the statement and its version.")
    server = serializers.CharField(help_text="Address of the server that states it.")
    competition = serializers.CharField(help_text="The competition's slug.")
    phase = serializers.CharField(help_text="The phase's slug.")
    team = serializers.CharField(help_text="The team's name.")
    submission = serializers.IntegerField(help_text="The submission's id.")
    archive_sha256 = serializers.CharField(help_text="SHA-256 of the archive.")
    archive_bytes = serializers.IntegerField(help_text="Size of the archive in bytes.")
    received_at = serializers.DateTimeField(help_text="When its upload began.")
    completed_at = serializers.DateTimeField(help_text="When its last byte arrived.")
    labels_version = serializers.IntegerField(help_text="The version of the labels compared with.")
    labels_commitment = serializers.CharField(help_text="The commitment to these labels.")
    scorer = serializers.CharField(help_text="The version of the scorer.")
    scored_at = serializers.DateTimeField(help_text="When it was scored.")
    scores_percent = PercentsSerializer(help_text="The scores that you may see.")
    counts = CountsSerializer(required=False, help_text="The counts behind the scores; for organisers.")
    issued_at = serializers.DateTimeField(help_text="When this receipt was made.")


class SignatureSerializer(serializers.Serializer):
    """Of the statement as canonical JSON."""

    algorithm = serializers.CharField(help_text="The algorithm.")
    key_sha256 = serializers.CharField(help_text="SHA-256 of the public key, which is at `/receipts/key`.")
    value = serializers.CharField(help_text="The signature in base64.")


class ReceiptSerializer(serializers.Serializer):
    """A statement and the server's signature of it."""

    statement = StatementSerializer(help_text="What the server states.")
    signature = SignatureSerializer(help_text="Its signature.")


class PersonSerializer(serializers.Serializer):
    """The account itself."""

    username = serializers.CharField(help_text="Your user name.")
    first_name = serializers.CharField(help_text="Your first name; may be empty.")
    last_name = serializers.CharField(help_text="Your last name; may be empty.")
    email = serializers.CharField(help_text="Your email address.")
    affiliation = serializers.CharField(help_text="Your institution; may be empty.")
    country = serializers.CharField(help_text="Your country; may be empty.")
    date_joined = serializers.DateTimeField(help_text="When the account was made.")
    last_login = serializers.DateTimeField(allow_null=True, help_text="When you last logged in; null: never.")
    is_staff = serializers.BooleanField(help_text="Whether you may enter the admin.")
    is_superuser = serializers.BooleanField(help_text="Whether you administer the server.")


LISTS = {
    "email_addresses": "Your email addresses, and whether they are verified.",
    "api_tokens": "Your tokens, without the tokens themselves.",
    "teams": "The teams that you are in.",
    "invitations_sent": "Invitations that you made.",
    "invitations_accepted": "Invitations that you accepted.",
    "requests_to_join": "Your requests to join a team.",
    "mergers_proposed": "Mergers that you proposed.",
    "method_descriptions": "Method descriptions that you handed in.",
    "reports_requested": "Reports that you asked for.",
    "reviews_looked_at": "Findings of the detectors that you looked at.",
    "label_reports": "Labels that you reported as wrong.",
    "mails_not_sent_yet": "Mails to you that wait to be sent.",
    "notes_on_submissions": "Notes that you wrote last.",
    "announcements_written": "Announcements that you wrote.",
    "terms_accepted": "Versions of terms that you accepted.",
    "terms_published": "Versions of terms that you published.",
    "questions_asked": "Questions that you asked.",
    "questions_answered": "Questions that you answered.",
    "roles": "Roles that you have beside the organisers: helper or jury.",
    "roles_granted": "Roles that you granted.",
    "jury_votes": "Your votes on special prizes, with their reasons.",
    "rehearsals_requested": "Rehearsals that you started.",
    "extensions_granted": "Extensions that you granted to single teams.",
    "bulk_acts": "Acts on many submissions that you asked for.",
    "sessions": "Browsers in which you are logged in.",
    "sign_ins": "Devices and networks from which you logged in.",
    "webhooks": "Webhooks that you set, without their secrets.",
    "uploads_begun": "Resumable uploads that you began.",
    "uploads_refused": "Uploads of yours that were refused.",
    "submissions": "Submissions that you made, with the scores that you may see.",
    "acts_in_the_log": "What you did according to the public log.",
}


@extend_schema_serializer(many=False)
class PersonalDataSerializer(serializers.Serializer):
    """Everything that the server stores about you. More lists may come; ignore those that you do not know."""

    account = PersonSerializer(help_text="The account itself.")
    mails_wanted = serializers.DictField(
        child=serializers.BooleanField(), help_text="Which kinds of mail you get."
    )
    organises = serializers.ListField(
        child=serializers.CharField(), help_text="The slugs of the competitions that you organise."
    )

    def get_fields(self) -> dict[str, Any]:
        lists = {
            name: serializers.ListField(child=serializers.DictField(), help_text=text)
            for name, text in LISTS.items()
        }
        return {**super().get_fields(), **lists}
