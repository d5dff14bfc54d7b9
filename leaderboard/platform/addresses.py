"""From where a request came."""

from allauth.account.adapter import get_adapter
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The IP address of the client behind TRUSTED_PROXIES; None where it is not known (a socket, wrong headers)."""
    try:
        return get_adapter().get_client_ip(request)
    except (ImproperlyConfigured, PermissionDenied):
        return None
