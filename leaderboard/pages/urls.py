"""The addresses of the pages. A text of a competition comes last: the words before it are reserved."""

from django.urls import path

from . import (
    account,
    boards,
    competitions,
    guide,
    labels,
    reports,
    rosters,
    statistics,
    status,
    submissions,
    teams,
    trust,
)

app_name = "pages"

urlpatterns = [
    path("", competitions.home, name="home"),
    path("guide/", guide.guide, name="guide"),
    path("status/", status.status, name="status"),
    path("account/", account.account, name="account"),
    path("account/data/", account.data, name="account-data"),
    path("account/delete/", account.delete, name="account-delete"),
    path("account/tokens/", account.create_token, name="create-token"),
    path("account/tokens/revoke/", account.revoke_token, name="revoke-token"),
    path("join/", teams.join, name="join"),
    path("c/<slug:slug>/", competitions.competition, name="competition"),
    path("c/<slug:slug>/board/", boards.current_board, name="boards"),
    path("c/<slug:slug>/board/<slug:phase_slug>/", boards.board, name="board"),
    path("c/<slug:slug>/labels/<slug:phase_slug>/", labels.labels, name="labels"),
    path("c/<slug:slug>/labels/<slug:phase_slug>/<int:version>/", labels.old_board, name="old-board"),
    path("c/<slug:slug>/statistics/", statistics.statistics, name="statistics"),
    path("c/<slug:slug>/report/<slug:phase_slug>/", reports.report, name="report"),
    path("c/<slug:slug>/report/<slug:phase_slug>/report.json", reports.report_json, name="report-json"),
    path("c/<slug:slug>/report/<slug:phase_slug>/board.csv", reports.board_csv, name="report-board"),
    path("c/<slug:slug>/report/<slug:phase_slug>/pairs.csv", reports.pairs_csv, name="report-pairs"),
    path("c/<slug:slug>/trust/", trust.trust, name="trust"),
    path("c/<slug:slug>/trust/log.json", trust.log_json, name="trust-log"),
    path("receipts/key", trust.key, name="receipt-key"),
    path("submissions/<int:pk>/receipt/", submissions.receipt, name="receipt"),
    path("c/<slug:slug>/team/", teams.team, name="team"),
    path("c/<slug:slug>/team/invite/", teams.invite, name="invite"),
    path(
        "c/<slug:slug>/team/invitations/<int:pk>/revoke/", teams.revoke_invitation, name="revoke-invitation"
    ),
    path("c/<slug:slug>/team/members/<int:pk>/remove/", teams.remove_member, name="remove-member"),
    path("c/<slug:slug>/team/members/<int:pk>/owner/", teams.make_owner, name="make-owner"),
    path("c/<slug:slug>/team/ask/", rosters.ask_to_join, name="ask-to-join"),
    path("c/<slug:slug>/team/requests/", rosters.decide_request, name="decide-request"),
    path("c/<slug:slug>/team/mergers/", rosters.propose_merger, name="propose-merger"),
    path("c/<slug:slug>/team/mergers/decide/", rosters.decide_merger, name="decide-merger"),
    path("c/<slug:slug>/team/description/", rosters.description, name="description"),
    path("c/<slug:slug>/winners/", rosters.winners, name="winners"),
    path("c/<slug:slug>/winners/take-back/", rosters.take_award_back, name="take-award-back"),
    path("c/<slug:slug>/winners/certificate/<str:title>/", rosters.certificate, name="certificate"),
    path("c/<slug:slug>/submit/", submissions.submit, name="submit"),
    path("c/<slug:slug>/submissions/", submissions.mine, name="submissions"),
    path("c/<slug:slug>/<slug:page_slug>/", competitions.text, name="text"),
    path("submissions/<int:pk>/", submissions.detail, name="submission"),
    path("submissions/<int:pk>/archive/", submissions.archive, name="archive"),
    path("submissions/<int:pk>/withdraw/", submissions.withdraw, name="withdraw"),
    path("submissions/<int:pk>/select/", submissions.select, name="select"),
]
