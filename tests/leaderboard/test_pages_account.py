"""Sign-up, log-in, password reset in our own look; profile and API tokens."""

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.models import ApiToken, User
from tests.leaderboard.factories import PASSWORD, Cast, make_user, sign_in_again


def said(answer: Any) -> str:
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


def test_sign_up_signs_in(db: None, client: Client) -> None:
    data = {
        "email": "new@example.org",
        "username": "newcomer",
        "password1": "Steep-slopes-7",
        "password2": "Steep-slopes-7",
    }
    answer = client.post(reverse("account_signup"), data, follow=True)
    assert answer.context["user"].username == "newcomer"
    assert User.objects.get().email == "new@example.org"


def test_a_refused_sign_up_says_why_and_keeps_what_was_typed(cast: Cast, client: Client) -> None:
    data = {"email": "no address", "username": "owner", "password1": "12345678", "password2": "12345678"}
    page = said(client.post(reverse("account_signup"), data))
    for sentence in (
        "Enter a valid email address.",
        "A user with that username already exists.",
        "too common",
    ):
        assert sentence in page
    assert 'value="no address"' in page


def test_password_reset_by_a_code_in_a_mail(cast: Cast, client: Client) -> None:
    client.post(reverse("account_reset_password"), {"email": cast.owner.email})
    assert "code" in mail.outbox[0].body
    assert mail.outbox[0].to == [cast.owner.email]


@pytest.mark.parametrize("name", ["account_login", "account_signup", "account_reset_password"])
def test_the_entrance_wears_our_look(db: None, client: Client, name: str) -> None:
    page = said(client.get(reverse(name)))
    assert "leaderboard/site.css" in page
    assert 'class="narrow card"' in page


@pytest.mark.parametrize("name", ["account_email", "account_change_password", "account_logout", "mfa_index"])
def test_the_account_pages_wear_our_look(cast: Cast, client: Client, name: str) -> None:
    client.post(reverse("account_login"), {"login": "owner", "password": PASSWORD})
    page = said(client.get(reverse(name)))
    assert "leaderboard/site.css" in page
    assert 'aria-label="Account"' in page


def test_the_profile_is_changed(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    answer = client.post(reverse("pages:account"), {"affiliation": "Institute", "country": "AT"}, follow=True)
    assert "Your profile has been saved." in said(answer)
    cast.owner.refresh_from_db()
    assert (cast.owner.affiliation, cast.owner.country) == ("Institute", "AT")
    refused = client.post(reverse("pages:account"), {"affiliation": "Elsewhere", "country": "ZZ"})
    assert refused.status_code == 400
    assert "Select a valid choice" in said(refused)
    assert "Elsewhere" in said(refused)
    cast.owner.refresh_from_db()
    assert cast.owner.affiliation == "Institute"


def test_a_token_is_shown_once_and_works_until_it_is_revoked(cast: Cast, client: Client) -> None:
    sign_in_again(client, cast.owner)
    answer = client.post(reverse("pages:create-token"), {"name": "cluster", "scopes": ["read", "submit"]})
    found = re.search(r"l4s_\w{20,}", said(answer))
    assert found
    token = found[0]
    page = said(client.get(reverse("pages:access")))
    assert token not in page
    for sentence in ("cluster", "read, submit", "not used yet"):
        assert sentence in page

    script = Client(headers={"Authorization": f"Bearer {token}"})
    assert script.get("/api/v1/teams/mine/").status_code == 200
    assert "from 127.0.0.1" in said(client.get(reverse("pages:access")))
    client.post(reverse("pages:revoke-token"), {"digest": ApiToken.objects.get().digest})
    assert not ApiToken.objects.exists()
    assert script.get("/api/v1/teams/mine/").status_code == 401


def test_a_token_without_a_name_is_refused(cast: Cast, client: Client) -> None:
    sign_in_again(client, cast.owner)
    for name in ("", "   ", "x" * 61):
        answer = client.post(reverse("pages:create-token"), {"name": name, "scopes": ["read"]})
        assert answer.status_code == 400
    assert "Please name the token" in said(client.post(reverse("pages:create-token"), {"name": ""}))
    assert "Please choose what the token may be" in said(
        client.post(reverse("pages:create-token"), {"name": "x"})
    )
    assert not ApiToken.objects.exists()


def test_too_many_tokens_are_refused(cast: Cast, client: Client) -> None:
    for number in range(20):
        ApiToken.objects.create(cast.owner, name=f"token {number}")
    sign_in_again(client, cast.owner)
    answer = client.post(reverse("pages:create-token"), {"name": "one more", "scopes": ["read"]})
    assert answer.status_code == 409
    assert "Revoke one first." in said(answer)


def test_a_token_for_one_competition_that_expires_soon(cast: Cast, client: Client) -> None:
    sign_in_again(client, cast.owner)
    asked = {
        "name": "CI",
        "scopes": ["submit"],
        "competition": "landslides",
        "days": "7",
        "note": "of the lab",
    }
    page = said(client.post(reverse("pages:create-token"), asked))
    assert f"only {cast.competition}" in page
    assert "of the lab" in page
    token = ApiToken.objects.get()
    assert (token.competition, token.scope) == (cast.competition, "submit")
    assert token.expiry is not None
    assert timedelta(days=6) < token.expiry - timezone.now() <= timedelta(days=7)
    assert client.post(reverse("pages:create-token"), {**asked, "days": "5"}).status_code == 400


def test_nobody_revokes_the_token_of_another(cast: Cast, client: Client) -> None:
    row, _ = ApiToken.objects.create(cast.owner, name="mine")
    sign_in_again(client, make_user())
    client.post(reverse("pages:revoke-token"), {"digest": row.digest})
    assert ApiToken.objects.filter(pk=row.pk).exists()


def test_account_pages_ask_a_visitor_to_sign_in(db: None, client: Client) -> None:
    for name in ("account", "access", "create-token", "revoke-token"):
        assert client.post(reverse(f"pages:{name}"))["Location"].startswith("/accounts/login/")


def test_my_data_comes_as_a_file(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    answer = client.get(reverse("pages:account-data"))
    assert "attachment" in answer["Content-Disposition"]
    assert cast.owner.email in answer.content.decode()
    assert cast.teammate.email not in answer.content.decode()


def test_an_account_is_deleted_with_its_password_alone(cast: Cast, client: Client) -> None:
    client.force_login(cast.teammate)
    url = reverse("pages:account-delete")
    for password, sentence in (("", "Please enter your password."), ("wrong", "This is not your password.")):
        answer = client.post(url, {"password": password})
        assert answer.status_code == 400
        assert sentence in said(answer)
    assert "Your account has been deleted." in said(client.post(url, {"password": PASSWORD}, follow=True))
    assert not User.objects.filter(username="teammate").exists()
    assert client.get(reverse("pages:account")).status_code == 302


def test_guessing_the_password_ends_soon(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    url = reverse("pages:account-delete")
    statuses = [client.post(url, {"password": f"guess {number}"}).status_code for number in range(12)]
    assert statuses == [400] * 10 + [429] * 2
    assert "Too many requests" in said(client.post(url, {"password": "guess"}))


def test_the_only_organiser_cannot_leave_the_competition_alone(cast: Cast, client: Client) -> None:
    client.force_login(cast.organiser)
    answer = client.post(reverse("pages:account-delete"), {"password": PASSWORD})
    assert answer.status_code == 409
    assert "Make somebody else an organiser first." in said(answer)


def test_two_factor_log_in_in_our_look(cast: Cast, client: Client, settings: Any) -> None:
    settings.MFA_TOTP_TOLERANCE = 1  # the minute may turn over between making a code and using it

    def code() -> str:
        return format_hotp_value(hotp_value(secret, list(yield_hotp_counters_from_time())[1]))

    sign_in = {"login": "owner", "password": PASSWORD}
    client.post(reverse("account_login"), sign_in)
    activate = reverse("mfa_activate_totp")
    page = said(client.post(f"{reverse('account_reauthenticate')}?next={activate}", sign_in, follow=True))
    assert 'class="qr" src="data:image/svg+xml' in page
    secret = client.session["mfa.totp.secret"]
    page = said(client.post(activate, {"code": code()}, follow=True))
    assert "Recovery codes" in page

    client.post(reverse("account_logout"))
    answer = client.post(reverse("account_login"), sign_in, follow=True)
    assert not answer.context["user"].is_authenticated
    assert 'class="narrow card"' in said(answer)
    cache.clear()  # a code serves once; the test does not wait for the next one
    answer = client.post(answer.redirect_chain[-1][0], {"code": code()}, follow=True)
    assert answer.context["user"] == cast.owner


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("account_login", "Sign in"),
        ("account_signup", "Sign up"),
        ("account_reset_password", "Password reset"),
        ("account_email", "Email addresses"),
        ("account_change_password", "Change password"),
        ("account_logout", "Sign out"),
        ("mfa_index", "Two-factor authentication"),
        ("usersessions_list", "Sessions"),
    ],
)
def test_the_pages_of_allauth_have_titles_in_our_style(cast: Cast, name: str, title: str) -> None:
    client = Client()
    if name not in ("account_login", "account_signup", "account_reset_password"):
        sign_in_again(client, cast.owner)
    page = said(client.get(reverse(name)))
    assert re.search("<title>(.*?) · ", page)[1].strip() == title
    texts = re.findall(r"<(h1|h2|th|label|button|a class=\"button)[^>]*>(.*?)</", page)
    assert ("h1", title) in [(tag, text.strip()) for tag, text in texts]
    titled = [text for _, text in texts if re.search(r"\w [A-Z][a-z]", text) and "Landslide" not in text]
    assert not titled
