"""Passkeys with Chromium's virtual authenticator: add one, sign in by it, confirm a change by it, remove it; and what is
said when the device refuses."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session

from leaderboard.models import ApiToken
from tests.browser.test_main_job import sign_in
from tests.leaderboard.factories import PASSWORD, make_cast

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSKEY = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def device(page: Any) -> Any:
    """Chromium's virtual authenticator; `device(False)` refuses from then on."""
    link = page.context.new_cdp_session(page)
    link.send("WebAuthn.enable")
    made = link.send("WebAuthn.addVirtualAuthenticator", {"options": PASSKEY})["authenticatorId"]

    def verifies(willing: bool) -> None:
        link.send("WebAuthn.setUserVerified", {"authenticatorId": made, "isUserVerified": willing})

    return verifies


def confirm_by_password(page: Any) -> None:
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def confirm_by_passkey(page: Any) -> None:
    page.get_by_role("link", name="Use a security key").click()
    page.get_by_role("button", name="Use a security key").click()


def add_passkey(page: Any, name: str) -> None:
    confirm_by_password(page)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add", exact=True).click()


def sign_out(page: Any) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in").first.wait_for()


def test_an_organiser_adds_a_passkey_signs_in_by_it_and_removes_it(
    page: Any, device: Any, settings: Any
) -> None:
    settings.REQUIRE_SECOND_FACTOR = True
    organiser = make_cast().organiser
    sign_in(page, organiser.username)
    page.goto("/admin/")
    assert "/account/second-factor/" in page.url
    page.get_by_role("link", name="Add a passkey or security key").click()
    add_passkey(page, "Laptop")
    page.get_by_text("Recovery codes").first.wait_for()
    page.goto("/admin/")
    page.get_by_role("heading", name="Today").first.wait_for()

    page.goto("/")
    sign_out(page)
    page.goto("/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("button", name="Sign out").wait_for()
    assert page.goto("/admin/").status == 200
    assert "/admin/" in page.url

    page.goto("/accounts/2fa/webauthn/")
    page.get_by_role("link", name="Remove").click()
    confirm_by_passkey(page)
    page.get_by_role("button", name="Remove").click()
    page.get_by_text("No security keys have been added").wait_for()
    assert not Authenticator.objects.filter(type="webauthn").exists()
    page.goto("/admin/")
    assert "/account/second-factor/" in page.url


def test_a_participant_confirms_a_new_token_by_passkey(page: Any, device: Any) -> None:
    owner = make_cast().owner
    sign_in(page, owner.username)
    page.goto("/accounts/2fa/webauthn/add/")
    add_passkey(page, "Phone")
    page.get_by_text("Recovery codes").first.wait_for()
    session = Session.objects.get()
    content = session.get_decoded()
    for method in content["account_authentication_methods"]:
        method["at"] -= 3600  # an hour ago
    session.session_data = Session.objects.encode(content)
    session.save()
    page.goto("/account/access/")
    page.get_by_label("Name").fill("cluster")
    page.get_by_role("button", name="Create a token").click()
    confirm_by_passkey(page)
    page.get_by_text("l4s_").first.wait_for()
    assert ApiToken.objects.get().name == "cluster"


def test_a_device_that_refuses_is_said(page: Any, device: Any) -> None:
    make_cast()
    page.goto("/accounts/login/")
    device(False)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("alert").filter(has_text="The passkey or security key was not used").wait_for()
