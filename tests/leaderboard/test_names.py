"""The rule for names, by examples and by anything that Unicode has; on whichever database the tests run on."""

import unicodedata

import pytest
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.urls import reverse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leaderboard.actions import refusals, teams
from leaderboard.models import Submission, Team, User
from leaderboard.models.names import (
    BIDI,
    LONGEST_FOLDED,
    folded,
    imitation,
    is_ignorable,
    tidy,
    without_invisible,
)
from tests.leaderboard.api import API, assert_problem, client_of, post
from tests.leaderboard.factories import Cast, make_team, make_user

FILLERS = [
    "\u3164",
    "\u2800",
    "\u034f",
    "\ufe0f",
    "\U000e0041",
    "\u200b",
    "\ufeff",
    "\u2060",
    "\u00ad",
    "\uffa0",
    "\u115f",
]
PERSIAN, HINDI, EMOJI = "می\u200cخواهم", "क्\u200dष", "👩\u200d🔬 Lab"
LIGATURE = "\ufdfa"  # 18 characters when written out
odd_text = st.text(
    st.characters(codec="utf-8")
    | st.sampled_from(
        [
            *FILLERS,
            *sorted(BIDI),
            LIGATURE,
            "\u0301",
            "\u200c",
            "\u200d",
            "\ufffe",
            "\ue000",
            "\x00",
            "İ",
            "ß",
        ]
    ),
    max_size=60,
)


def accepted(name: str) -> bool:
    try:
        Team(name=name).clean_fields(exclude={"competition", "folded_name"})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("filler", FILLERS)
def test_what_nobody_sees_is_no_name_and_makes_no_difference(filler: str) -> None:
    for name in (filler, filler * 9, f" {filler} {filler}"):
        assert not accepted(name)
    assert folded(f"Al{filler}pine{filler}") == folded("Alpine")


@pytest.mark.parametrize(
    "name", [PERSIAN, HINDI, EMOJI, "❤\ufe0f", "שָׁלוֹם", "Nguyễn", "東京 Team", "Z\u0301\u0301", "ﷺ", "%", "7"]
)
def test_names_of_all_scripts_stay_as_they_are(name: str) -> None:
    assert accepted(name)
    assert tidy(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("\u3164", "invisible"),
        ("\u0301", "invisible"),
        ("A" + "\u0301" * 6, "marks"),
        (LIGATURE * 7, "too_long"),
        ("A\u202eB", "character"),
        ("A\ufffe", "character"),
        ("A\ue000", "character"),
        ("A\x07", "character"),
    ],
)
def test_the_refusal_says_why(name: str, code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Team._meta.get_field("name").run_validators(name)
    assert code in [error.code for error in refused.value.error_list]


def test_joiners_stay_only_where_a_script_needs_them() -> None:
    assert without_invisible("a\u200db\u200cc") == "abc"
    assert without_invisible(PERSIAN) == PERSIAN
    assert without_invisible(HINDI) == HINDI
    assert without_invisible(EMOJI) == EMOJI
    assert without_invisible("\u200d👩\u200d") == "👩"


@given(odd_text)
@example(LIGATURE * 7)
@example("İ" * 60)
def test_any_accepted_name_is_seen_bounded_and_stable(text: str) -> None:
    name = tidy(text)
    assert tidy(name) == name
    assert folded(folded(name)) == folded(name)
    if accepted(text):
        assert 0 < len(folded(name)) <= LONGEST_FOLDED
        assert any(not is_ignorable(each) and not each.isspace() for each in name)
        assert not BIDI & set(name)


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.sampled_from(FILLERS), st.integers(0, 30))
def test_an_invisible_character_anywhere_changes_nothing(text: str, filler: str, at: int) -> None:
    at = min(at, len(text))
    before = text[at - 1 : at]
    if (
        filler == "\ufe0f"
        or (before and unicodedata.combining(before))
        or unicodedata.combining(text[at : at + 1] or "a")
    ):
        return  # it styles its neighbour, or keeps marks apart
    assert (
        folded(text[:at] + filler + text[at:]) == folded(text) or unicodedata.normalize("NFKC", text) != text
    )


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=odd_text)
@example(name=LIGATURE * 7)
@example(name="\x00")
@example(name="İ" * 60)
def test_any_text_makes_a_team_or_a_refusal(cast: Cast, name: str) -> None:
    person = make_user()
    try:
        team = teams.create_team(person, cast.competition, name)
    except refusals.Refusal:
        return
    team.refresh_from_db()
    assert team.folded_name == folded(team.name)
    team.delete()


@pytest.mark.django_db
@pytest.mark.parametrize("name", [LIGATURE * 7, "\u3164", "A\u202eB", "\u2800 \u2800"])
def test_page_api_admin_and_import_refuse_the_same(cast: Cast, client, name: str) -> None:
    address = reverse("pages:team", args=[cast.competition.slug])
    client.force_login(cast.stranger)
    assert client.post(address, {"name": name}).status_code == 400
    asked = {"competition": cast.competition.slug, "name": name}
    assert_problem(client_of(cast.stranger).post(f"{API}/teams/", asked), 400, "invalid")
    assert_problem(post(client_of(cast.owner), cast.phase, method=name), 400, "invalid")
    assert not Submission.objects.exists()
    form = admin.site.get_model_admin(Team).form
    assert form._meta.model is Team
    with pytest.raises(ValidationError):
        Team(competition=cast.competition, name=name).clean_fields(exclude={"folded_name"})
    with pytest.raises(ValidationError):
        User(username="x", first_name=name).clean_fields(exclude={"password"})


@pytest.mark.django_db
def test_a_user_name_that_nobody_sees_is_refused(client) -> None:
    data = {"email": "new@example.org", "username": "\u3164\u3164"}
    data |= dict.fromkeys(("password1", "password2"), "mossy-kettle-ninety")
    page = client.post(reverse("account_signup"), data).content.decode()
    assert "can be seen" in page
    assert not User.objects.exists()


@pytest.mark.django_db
def test_the_same_name_with_something_invisible_in_it_is_taken(cast: Cast) -> None:
    for name in ("Al\u200bpine", "ALP\u00adINE", "Ａｌｐｉｎｅ", "Alpine\U000e0041"):
        with pytest.raises(refusals.NameTaken):
            teams.create_team(make_user(), cast.competition, name)


@pytest.mark.django_db
def test_invisible_characters_in_a_pasted_description_are_removed(cast: Cast) -> None:
    pasted = "\ufeffTrained\u200b on 14 bands\u00ad.\nTwo rounds."
    made = post(client_of(cast.owner), cast.phase, description=pasted, method="U\u2060-Net")
    assert made.status_code == 202, made.content
    row = Submission.objects.get()
    assert row.description == "Trained on 14 bands.\nTwo rounds."
    assert row.method == "U-Net"
    refused = post(client_of(cast.owner), cast.phase, description="a \u202e b", allow_duplicate=True)
    assert_problem(refused, 400, "invalid")


@pytest.mark.django_db
def test_organisers_see_which_names_may_imitate(cast: Cast, client) -> None:
    make_team(cast.competition, "\u0410lpine")
    client.force_login(cast.organiser)
    page = client.get(reverse("admin:leaderboard_team_changelist")).content.decode()
    assert "U+0410" in page


def test_names_in_one_script_imitate_nobody() -> None:
    for name in ("Alpine", "Альпы", "Team Ω", "東京 Team", "Åsa-7", PERSIAN, HINDI, EMOJI):
        assert imitation(name) == "", name
    for name in ("\u0410lpine", "G\u03bfogle", "p\u0430ypal team"):
        assert imitation(name) != "", name
