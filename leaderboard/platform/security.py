"""What each page may do in the browser: scripts and styles only from this site, none inline; no sensors, no payments."""

from csp.constants import SELF, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

# The admin theme (django-unfold) writes its colours into a style element, and Alpine sets widths as style attributes: hence
# unsafe-inline for styles. Its scripts are files, and Alpine is the build that needs no unsafe-eval (static/unfold/js/alpine).
ADMIN_POLICY = {"style-src": [SELF, UNSAFE_INLINE]}

DENIED = (
    *(
        "accelerometer",
        "autoplay",
        "browsing-topics",
        "camera",
        "display-capture",
        "encrypted-media",
        "geolocation",
    ),
    *(
        "gyroscope",
        "hid",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "picture-in-picture",
        "screen-wake-lock",
    ),
    *("serial", "sync-xhr", "usb", "xr-spatial-tracking"),
)
OWN = (
    "clipboard-write",
    "fullscreen",
    "publickey-credentials-create",
    "publickey-credentials-get",
)  # copy buttons, passkeys
PERMISSIONS = ", ".join([*(f"{name}=()" for name in DENIED), *(f"{name}=(self)" for name in OWN)])


class ContentPolicyMiddleware(CSPMiddleware):
    """Sends CONTENT_SECURITY_POLICY and, for the admin, ADMIN_POLICY on top of it; and the Permissions-Policy."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return super().process_response(request, response)

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path.startswith(reverse("admin:index")):
            parts.replace = {**ADMIN_POLICY, **(parts.replace or {})}
        return parts
