"""Rows named on a command line."""

from django.core.management.base import CommandError

from leaderboard.models import Competition, Phase


def find_phase(name: str) -> Phase:
    """The phase called ``competition/phase`` (slugs), ``phase`` where only one competition has it, or by number."""
    phases = Phase.objects.select_related("competition").defer("labels__masks")
    competition, _, slug = name.rpartition("/")
    found = (
        phases.filter(slug=slug, competition__slug=competition) if competition else phases.filter(slug=name)
    )
    if not competition and name.isdecimal():
        found = phases.filter(pk=int(name))
    matches = list(found)
    if len(matches) == 1:
        return matches[0]
    known = ", ".join(f"{phase.competition.slug}/{phase.slug}" for phase in phases) or "none yet"
    problem = "is the name of several phases" if matches else "is not a phase"
    raise CommandError(f"{name} {problem}. The phases are: {known}.")


def find_competition(slug: str) -> Competition:
    """The competition of this slug."""
    competition = Competition.objects.filter(slug=slug).first()
    if competition is None:
        known = ", ".join(Competition.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"{slug} is not a competition. The competitions are: {known}.")
    return competition
