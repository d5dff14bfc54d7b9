"""What guards an account: re-authentication, second factor, sessions, mails about changes, passwords, addresses."""

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.password_validation import validate_password
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import refusals, teams
from leaderboard.actions.accounts import create_token
from leaderboard.actions.sign_ins import KEPT, device_of, network_of, note_sign_in
from leaderboard.models import ApiToken, Invitation, SignIn, User
from leaderboard.models.emails import normal_email
from tests.leaderboard.api import API, assert_problem, client_of
from tests.leaderboard.factories import PASSWORD, Cast, sign_in_again

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
NEWER_FIREFOX = FIREFOX.replace("145", "146")
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1"
SIGN_IN = {"login": "owner", "password": PASSWORD}


def said(answer: Any) -> str:
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


def sign_in(agent: str = FIREFOX, address: str = "192.0.2.7") -> Client:
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    answer = client.post(reverse("account_login"), SIGN_IN)
    assert answer.status_code == 302, answer.content
    return client


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("pages:create-token", {"name": "laptop", "scopes": ["submit"]}),
        ("pages:revoke-token", {"digest": "x"}),
        ("pages:revoke-tokens", {}),
        ("pages:end-sessions", {}),
        ("account_email", {"action_add": "", "email": "other@example.org"}),
        ("mfa_activate_totp", {"code": "1"}),
        ("mfa_add_webauthn", {"name": "key"}),
    ],
)
def test_a_change_asks_for_the_password_again_and_goes_on(cast: Cast, name: str, fields: dict) -> None:
    client = sign_in()
    answer = client.post(reverse(name), fields)
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_reauthenticate"))
    assert not ApiToken.objects.exists()
    assert not EmailAddress.objects.filter(email="other@example.org").exists()
    if name == "pages:create-token":  # the form is kept meanwhile
        page = said(client.post(answer["Location"], {"password": PASSWORD}))
        assert re.search(r"l4s_\w{20,}", page)
        assert ApiToken.objects.get().name == "laptop"


def test_the_list_of_sessions_and_the_end_of_the_others(cast: Cast) -> None:
    here, there, third = sign_in(), sign_in(SAFARI, "192.0.2.9"), sign_in(SAFARI, "192.0.2.10")
    here.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    page = said(here.get(reverse("pages:access")))
    for word in ("Firefox on Linux", "(this one)", "Safari on iPhone", "192.0.2.9"):
        assert word in page
    other = UserSession.objects.get(ip="192.0.2.9")
    here.post(reverse("pages:end-sessions"), {"session": other.pk})
    assert there.get(reverse("pages:account")).status_code == 302
    assert third.get(reverse("pages:account")).status_code == 200
    here.post(reverse("pages:end-sessions"), {"session": UserSession.objects.get(ip="192.0.2.7").pk})
    here.post(reverse("pages:end-sessions"), {"session": "nothing"})
    assert here.get(reverse("pages:account")).status_code == 200
    assert "1 other session ended." in said(here.post(reverse("pages:end-sessions"), follow=True))
    assert third.get(reverse("pages:account")).status_code == 302
    assert here.get(reverse("pages:account")).status_code == 200


def test_nobody_ends_the_session_of_another(cast: Cast) -> None:
    theirs = sign_in()
    stranger = Client()
    sign_in_again(stranger, cast.stranger)
    stranger.post(reverse("pages:end-sessions"), {"session": UserSession.objects.get().pk})
    stranger.post(reverse("pages:end-sessions"))
    assert theirs.get(reverse("pages:account")).status_code == 200


def test_a_new_password_ends_other_sessions_and_offers_to_revoke_tokens(cast: Cast) -> None:
    here, there = sign_in(), sign_in(SAFARI)
    create_token(cast.owner, "laptop")
    page = said(here.get(reverse("account_change_password")))
    assert "Also revoke my API token" in page
    new = {"oldpassword": PASSWORD, "password1": "mossy-kettle-ninety", "password2": "mossy-kettle-ninety"}
    here.post(reverse("account_change_password"), new)
    assert there.get(reverse("pages:account")).status_code == 302
    assert here.get(reverse("pages:account")).status_code == 200
    assert ApiToken.objects.count() == 1
    again = {"oldpassword": new["password1"], "password1": PASSWORD, "password2": PASSWORD}
    here.post(reverse("account_change_password"), {**again, "revoke_tokens": "on"})
    assert ApiToken.objects.count() == 0
    assert "Also revoke" not in said(here.get(reverse("account_change_password")))


def test_mail_about_a_new_device_or_network_and_not_about_known_ones(cast: Cast) -> None:
    sign_in()
    assert mail.outbox == []  # the first one that the server keeps
    sign_in(NEWER_FIREFOX, "192.0.2.200")
    assert mail.outbox == []
    sign_in(SAFARI)
    [told] = mail.outbox
    assert told.to == [cast.owner.email]
    for word in ("Safari on iPhone", "192.0.2.7", "/account/access/"):
        assert word in told.body
    sign_in(FIREFOX, "198.51.100.1")
    assert len(mail.outbox) == 2
    sign_in(SAFARI, "198.51.100.9")  # both known, if not together
    assert len(mail.outbox) == 2
    assert SignIn.objects.count() == 4


def test_sign_ins_are_forgotten_after_half_a_year(cast: Cast) -> None:
    now = timezone.now()
    note_sign_in(cast.owner, "192.0.2.7", FIREFOX, now - KEPT - timedelta(seconds=1))
    assert note_sign_in(cast.owner, None, "", now) is False
    assert SignIn.objects.get().device == "unknown browser"


def test_devices_and_networks_in_words() -> None:
    assert device_of(FIREFOX) == device_of(NEWER_FIREFOX) == "Firefox on Linux"
    assert device_of("curl/8") == "unknown browser"
    assert network_of("2001:db8:1:2:3::4") == "2001:db8:1::/48"
    assert network_of(None) == ""


def test_mail_about_changes_of_tokens_address_and_password(cast: Cast) -> None:
    EmailAddress.objects.create(user=cast.owner, email=cast.owner.email, primary=True, verified=True)
    client = Client()
    sign_in_again(client, cast.owner)
    client.post(reverse("pages:create-token"), {"name": "laptop", "scopes": ["submit"]})
    client.post(reverse("pages:revoke-token"), {"digest": ApiToken.objects.get().digest})
    client.post(reverse("account_email"), {"action_add": "", "email": "other@example.org"})
    new = {"oldpassword": PASSWORD, "password1": "mossy-kettle-ninety", "password2": "mossy-kettle-ninety"}
    client.post(reverse("account_change_password"), new)
    subjects = " ".join(each.subject for each in mail.outbox if each.to == [cast.owner.email])
    for word in ("New API token", "tokens revoked", "address was added", "Password Changed"):
        assert word in subjects
    assert "l4s_" not in " ".join(each.body for each in mail.outbox)


@pytest.mark.parametrize(
    "password",
    ["Landslide4Sense!", "landslide2022", "Alpine2026!", "qwertyuiop12", "Landslides-2022", "owner-owner-1"],
)
def test_passwords_that_are_easy_to_guess_are_refused(cast: Cast, password: str) -> None:
    with pytest.raises(ValidationError, match=r"easy to guess|too similar"):
        validate_password(password, cast.owner)


@pytest.mark.parametrize("password", ["mossy-kettle-ninety", "xK9#vTq2!mWz", "x" * 5 + "Qv7" * 40])
def test_other_passwords_are_accepted(cast: Cast, password: str) -> None:
    validate_password(password, cast.owner)


def test_a_refused_password_at_sign_up_says_why(db: None, client: Client) -> None:
    data = {"email": "new@example.org", "username": "newcomer"}
    data |= dict.fromkeys(("password1", "password2"), "landslide2022")
    assert "made from words of this site" in said(client.post(reverse("account_signup"), data))
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Ada@Example.ORG", "ada@example.org"),
        (" ada@bücher.example ", "ada@xn--bcher-kva.example"),
        ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("a.d+a@例え.テスト", "a.d+a@xn--r8jz45g.xn--zckzah"),
    ],
)
def test_addresses_have_one_form(text: str, normal: str) -> None:
    assert normal_email(text) == normal
    assert normal_email(normal) == normal


ODD_ADDRESSES = [
    "İda@example.org",
    "ſam@example.org",
    "ädä@example.org",
    "a@b\u202e.org",
    "a@-x-.ü",
]


@pytest.mark.parametrize("address", ODD_ADDRESSES)
def test_addresses_that_mail_cannot_reach_are_refused_everywhere(cast: Cast, address: str) -> None:
    with pytest.raises(ValidationError):
        normal_email(address)
    data = {"email": address, "username": "newcomer"}
    data |= dict.fromkeys(("password1", "password2"), "mossy-kettle-ninety")
    assert Client().post(reverse("account_signup"), data).status_code == 200
    assert not User.objects.filter(username="newcomer").exists()
    client = Client()
    sign_in_again(client, cast.owner)
    client.post(reverse("account_email"), {"action_add": "", "email": address})
    assert not EmailAddress.objects.exclude(email=cast.owner.email).exists()
    invite = reverse("pages:invite", args=[cast.competition.slug])
    assert client.post(invite, {"email": address}).status_code == 400
    api = client_of(cast.owner).post(f"{API}/invitations/", {"team": cast.team.pk, "email": address})
    assert_problem(api, 400, "invalid")
    with pytest.raises(refusals.InvalidInput):
        teams.invite(cast.owner, cast.team, address)
    with pytest.raises(ValidationError):
        User(username="x", email=address).clean_fields(exclude={"password"})
    assert not Invitation.objects.exists()


def test_a_letter_that_only_folds_to_ascii_is_not_taken_for_it() -> None:
    with pytest.raises(ValidationError, match="U\\+212A"):
        normal_email("\u212aelvin@example.org")


def test_the_sentence_names_the_character(db: None, client: Client) -> None:
    data = {"email": "İda@example.org", "username": "newcomer"}
    data |= dict.fromkeys(("password1", "password2"), "mossy-kettle-ninety")
    assert "mail would not reach it" in said(client.post(reverse("account_signup"), data))


def test_invitations_go_to_the_normal_form(cast: Cast) -> None:
    invitation, _ = teams.invite(cast.owner, cast.team, "Ada@Bücher.example")
    assert invitation.email == "ada@xn--bcher-kva.example"


class TestSecondFactor:
    @pytest.fixture(autouse=True)
    def _required(self, settings: Any) -> None:
        settings.REQUIRE_SECOND_FACTOR = True

    def test_staff_without_one_reach_only_the_page_that_explains_it(self, cast: Cast) -> None:
        client = Client()
        client.force_login(cast.organiser)
        page = reverse("pages:second-factor")
        for address in ("/", "/admin/", f"/c/{cast.competition.slug}/", reverse("pages:access")):
            answer = client.get(address)
            assert answer.status_code == 302, address
            assert answer["Location"].startswith(page)
        assert_problem(client.get(f"{API}/phases/"), 403, "second_factor_required")
        assert client.post(reverse("pages:create-token"), {"name": "x"})["Location"] == page
        said_there = said(client.get(page))
        assert reverse("mfa_add_webauthn") in said_there
        assert reverse("mfa_activate_totp") in said_there
        assert client.get("/healthz").status_code == 200
        assert client.get(reverse("account_logout")).status_code == 200

    def test_with_one_everything_opens(self, cast: Cast) -> None:
        Authenticator.objects.create(user=cast.organiser, type="totp", data={})
        client = Client()
        client.force_login(cast.organiser)
        assert client.get("/admin/").status_code == 200
        assert "is set up" in said(client.get(reverse("pages:second-factor")))

    def test_a_token_does_not_work_around_it(self, cast: Cast) -> None:
        client = client_of(cast.organiser)
        told = assert_problem(client.get(f"{API}/phases/"), 403, "second_factor_required")
        assert "your tokens do not work" in told["detail"]
        Authenticator.objects.create(user=cast.organiser, type="totp", data={})
        told = assert_problem(client.get(f"{API}/phases/"), 403, "second_factor_required")
        assert "older than your second factor" in told["detail"]

    def test_participants_need_none(self, cast: Cast) -> None:
        client = Client()
        client.force_login(cast.owner)
        page = said(client.get(reverse("pages:second-factor")))
        assert "You do not need one to sign in." in page
        assert "is set up" not in page
        assert client.get(f"/c/{cast.competition.slug}/team/").status_code == 200

    def test_recovery_codes_alone_are_none(self, cast: Cast) -> None:
        Authenticator.objects.create(user=cast.organiser, type="recovery_codes", data={})
        client = Client()
        client.force_login(cast.organiser)
        assert client.get("/admin/").status_code == 302


def test_without_the_setting_staff_need_none(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.organiser)
    assert client.get("/admin/").status_code == 200


def test_a_key_is_added_in_the_strict_policy(cast: Cast) -> None:
    """No inline script: what the page passes to its scripts is data."""
    client = Client()
    sign_in_again(client, cast.owner)
    answer = client.get(reverse("mfa_add_webauthn"))
    assert answer.status_code == 200
    for script in re.findall(r"<script\b[^>]*>", answer.content.decode()):
        assert "src=" in script or "application/json" in script, script
