"""The Content-Security-Policy of each page: scripts and styles only from this site, none inline."""

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

# The admin theme uses inline Alpine expressions, scripts and styles. Only organisers see it.
ADMIN_POLICY = {
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
}


class ContentPolicyMiddleware(CSPMiddleware):
    """Sends CONTENT_SECURITY_POLICY and, for the admin, ADMIN_POLICY on top of it."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path.startswith(reverse("admin:index")):
            parts.replace = {**ADMIN_POLICY, **(parts.replace or {})}
        return parts
