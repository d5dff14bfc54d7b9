"""The whole of an organiser's week in a real browser, without a shell: from the draft to the awards."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from leaderboard.actions import questions, submissions
from leaderboard.actions.teams import create_team
from leaderboard.models import Attempt, AuditEntry, Award, Competition, MethodDescription, Phase, Team
from tests.browser.test_main_job import sign_in
from tests.leaderboard.factories import make_archive, make_masks, make_user
from tests.leaderboard.test_corrections import work_all
from tests.leaderboard.test_setup import images

pytestmark = [
    pytest.mark.browser,
    pytest.mark.both_databases,
    pytest.mark.django_db(transaction=True),
]

OLD, NEW = make_masks(), make_masks(seed=5)


def admin(page: Any, path: str = "") -> None:
    page.goto(f"/admin/leaderboard/{path}" if path else "/admin/")


def open_act(page: Any, name: str) -> None:
    """A button of a row's page, by its words alone."""
    page.get_by_role("link", name=name, exact=True).first.click()


def press(page: Any, name: str, reason: str, button: str = "") -> None:
    """A button of a row's page, and the page between, with the reason."""
    open_act(page, name)
    page.locator("#id_reason").fill(reason)
    page.get_by_role("button", name=button or name, exact=True).click()


def save(page: Any) -> None:
    page.get_by_role("button", name="Save", exact=True).first.click()


def confirm(page: Any, sentence: str) -> None:
    """The first Save says what follows; it is read, ticked and saved."""
    save(page)
    page.get_by_text(sentence).first.wait_for()
    page.locator("#id_confirmed").check()
    save(page)


def set_moment(page: Any, field: str, at: Any) -> None:
    page.locator(f"#id_{field}_0").fill(f"{at:%Y-%m-%d}")
    page.locator(f"#id_{field}_1").fill(f"{at:%H:%M:%S}")


def send(team: Team, phase: Phase, masks: Any) -> Any:
    archive = SimpleUploadedFile("masks.zip", make_archive(masks), "application/zip")
    return submissions.submit(team.members.get(), phase, archive, method="U-Net")[0]


def draft(page: Any, tmp_path: Path) -> Phase:
    """Monday: a draft from a preset, with labels and images; published by the checklist."""
    admin(page, "competition/add/")
    page.locator("#preset_preset").select_option("hidden-test")
    page.locator("#preset_slug").fill("week")
    page.locator("#preset_name").fill("A week of landslides")
    yesterday = timezone.now() - timedelta(days=1)
    page.locator("#preset_starts_0").fill(f"{yesterday:%Y-%m-%d}")
    page.locator("#preset_starts_1").fill("00:00:00")
    page.get_by_role("button", name="Make a draft of the preset").click()
    page.get_by_text("A week of landslides is a draft").first.wait_for()
    competition = Competition.objects.get(slug="week")
    assert not competition.is_published
    page.get_by_text("Needed: An organiser with a mail address").wait_for()

    admin(page, f"competition/{competition.pk}/change/")
    open_act(page, "Add an organiser")
    page.locator("#id_username").fill("root")
    page.locator("#id_reason").fill("runs it")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("root organises A week of landslides now.").wait_for()

    phase = competition.phases.get(slug="validation")
    labels, pictures = tmp_path / "labels.zip", tmp_path / "images.zip"
    labels.write_bytes(make_archive(OLD))
    pictures.write_bytes(images().read())
    admin(page, f"phase/{phase.pk}/change/")
    open_act(page, "Load labels")
    page.locator("input[name=masks]").set_input_files(labels)
    page.get_by_role("button", name="Load labels").click()
    page.get_by_text("Version 1 is in force").wait_for()
    open_act(page, "Load images")
    page.locator("input[name=images]").set_input_files(pictures)
    page.get_by_role("button", name="Load images").click()
    page.get_by_text("3 images are kept").wait_for()

    admin(page, f"competition/{competition.pk}/change/")
    set_moment(page, "approval_needed_from", timezone.now() - timedelta(minutes=1))
    page.locator("#id_reason").fill("teams are approved")
    save(page)
    if page.locator("#id_confirmed").is_visible() and page.get_by_text("Nothing is saved yet").count():
        page.locator("#id_confirmed").check()
        save(page)
    page.get_by_text("was changed successfully").wait_for()

    admin(page, "prize/add/")
    page.locator("#id_competition").select_option(str(competition.pk))
    page.locator("#id_title").fill("Best on validation")
    page.locator("#id_phase").select_option(str(phase.pk))
    page.locator("#id_rank").fill("1")
    save(page)
    page.get_by_text("was added successfully").wait_for()

    admin(page, f"competition/{competition.pk}/publish/")
    page.get_by_text("Done: Labels of Validation").wait_for()
    page.get_by_text("Done: Images of Validation").wait_for()
    page.get_by_role("button", name="Publish: everyone sees it at once").click()
    page.wait_for_url("**/c/week/")
    return Phase.objects.with_labels().get(pk=phase.pk)


def people(page: Any, phase: Phase) -> tuple[Team, Team]:
    """Tuesday: teams are approved, a question is answered, everybody gets a message."""
    alpine = create_team(make_user("anna"), phase.competition, "Alpine")
    rivals = create_team(make_user("rita"), phase.competition, "Rivals")
    questions.ask(alpine.members.get(), phase.competition, "Bands", "Which bands may we use?")
    for team in (alpine, rivals):
        admin(page)
        page.get_by_role("link", name=re.compile("teams? to approve")).click()
        page.get_by_role("link", name=team.name, exact=True).first.click()
        press(page, "Approve", "known people")
        page.get_by_text(f"{team.name} is approved.").wait_for()
    admin(page)
    assert page.get_by_role("link", name=re.compile("to approve")).count() == 0
    page.get_by_role("link", name=re.compile("question to answer")).click()
    page.goto("/c/week/questions/")
    page.get_by_role("link", name="Answer", exact=True).click()
    page.locator("#id_answer").fill("All 14.")
    page.get_by_role("button", name="Answer for everyone").click()
    page.get_by_text("All 14.").first.wait_for()

    admin(page, "announcement/add/")
    page.locator("#id_competition").select_option(str(phase.competition_id))
    page.locator("#id_title").fill("Welcome")
    page.locator("#id_body").fill("**Validation** is open.")
    confirm(page, "Not sent yet")
    page.get_by_text("was added successfully").wait_for()
    page.goto("/c/week/announcements/")
    page.get_by_text("Validation is open.").first.wait_for()
    return alpine, rivals


def justice(page: Any, phase: Phase, alpine: Team, rivals: Team) -> Any:
    """Wednesday: scores arrive; one team gets more, an attempt is given back; masks are looked at."""
    best = send(alpine, phase, OLD)
    send(rivals, phase, NEW)
    work_all()
    admin(page, f"team/{rivals.pk}/change/")
    open_act(page, "Extend")
    page.locator("#id_phase").select_option(str(phase.pk))
    page.locator("#id_quota_per_day").fill("9")
    page.locator("#id_reason").fill("a power cut")
    page.get_by_role("button", name="Extend", exact=True).click()
    page.get_by_text("9 submissions a day").first.wait_for()

    admin(page)
    page.get_by_role("link", name=re.compile("teams ranked")).first.click()
    page.get_by_role("row").filter(has_text="Alpine").filter(has_text="100.00").wait_for()
    page.get_by_role("row").filter(has_text="Alpine").get_by_role("link", name="Masks").click()
    page.locator("#stage canvas").wait_for()
    assert "order=worst" in page.url
    assert page.locator("#stage .ground").get_attribute("src").endswith(".png")

    admin(page, f"submission/{best.pk}/change/")
    press(page, "Give the attempt back", "a fault of ours")
    page.get_by_text("is given back.").first.wait_for()
    assert Attempt.objects.get(submission=best).state == Attempt.State.GIVEN_BACK
    return best


def correct(page: Any, tmp_path: Path, phase: Phase) -> None:
    """Thursday: other labels wait for their dry run; then they are in force and the board turns round."""
    file = tmp_path / "redrawn.zip"
    file.write_bytes(make_archive(NEW))
    admin(page, f"phase/{phase.pk}/load_labels/")
    page.locator("input[name=masks]").set_input_files(file)
    page.get_by_role("button", name="Load labels").click()
    page.get_by_text("Version 2 is loaded and waits").wait_for()
    work_all()
    admin(page)
    page.get_by_role("link", name=re.compile("label version to compare")).click()
    page.locator("tbody a").first.click()
    open_act(page, "Dry run")
    page.get_by_role("row").filter(has_text="Rivals").filter(has_text="+1").wait_for()
    page.get_by_role("link", name="Put these labels in force").click()
    page.locator("#id_reason").fill("patch 2 was wrong")
    page.get_by_role("button", name="Put in force", exact=True).click()
    page.get_by_text("is in force.").first.wait_for()
    page.goto("/c/week/board/validation/")
    page.get_by_role("row").filter(has_text="Rivals").filter(has_text="100.00").wait_for()


def finish(page: Any, phase: Phase, alpine: Team, rivals: Team) -> None:
    """Friday: the phase ends, descriptions are judged, the award by rank is given."""
    admin(page, f"phase/{phase.pk}/change/")
    set_moment(page, "closes_at", timezone.now() - timedelta(minutes=1))
    page.locator("#id_grace_minutes").fill("0")
    page.locator("#id_reason").fill("the week is over")
    confirm(page, "Nothing is saved yet")
    page.get_by_text("was changed successfully").wait_for()
    for team in (alpine, rivals):
        MethodDescription.objects.create(
            team=team,
            pdf=b"%PDF-1.7",
            sha256="0" * 64,
            uploaded_by=team.members.get(),
            uploaded_at=timezone.now(),
        )
        admin(page)
        page.get_by_role("link", name=re.compile("method description to judge")).click()
        page.get_by_role("link", name=re.compile(team.name)).first.click()
        press(page, "Accept", "clear and complete")
        page.wait_for_url("**/change/")
    admin(page)
    page.get_by_role("link", name=re.compile("awards? by rank to give")).wait_for()
    admin(page, f"competition/{phase.competition_id}/change/")
    press(page, "Give the awards by rank", "the ranks are final", button="Give")
    page.get_by_text("Given:").wait_for()
    page.goto("/c/week/winners/")
    page.get_by_text("Rivals").first.wait_for()


@pytest.mark.timeout(600)
def test_from_the_draft_to_the_awards(page: Any, tmp_path: Path) -> None:
    root = make_user("root", is_staff=True, is_superuser=True)
    sign_in(page, root.username)
    phase = draft(page, tmp_path)
    alpine, rivals = people(page, phase)
    justice(page, phase, alpine, rivals)
    correct(page, tmp_path, phase)
    finish(page, phase, alpine, rivals)
    assert Award.objects.get().team == rivals
    acts = list(AuditEntry.objects.order_by("pk").values_list("act", flat=True))
    for act in (
        "organiser added", "labels loaded", "images kept", "competition published", "team extended", "attempt given back",
        "labels switched", "award given",
    ):  # fmt: skip
        assert act in acts, f"{act} is not in the log: {acts}"
    assert AuditEntry.objects.first_broken() is None
    told = {address for message in mail.outbox for address in message.to}
    assert {"anna@example.org", "rita@example.org"} <= told
