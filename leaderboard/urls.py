"""Every address of the site."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from leaderboard.pages import allauth_hooks, prometheus  # noqa: F401  the hooks receive signals
from leaderboard.platform import health

admin.autodiscover()
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("as-seen", health.as_seen, name="as-seen"),
    path("metrics", prometheus.metrics, name="metrics"),
    path("accounts/", include("allauth.urls")),
    path("api/", include("leaderboard.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("leaderboard.pages.urls")),
]

handler500 = "leaderboard.pages.errors.internal_error"
