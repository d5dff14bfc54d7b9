"""Requests to addresses that users name. They reach public hosts only: nothing inside the server's own network.

The host is resolved once; every address found must be public, and the connection goes to an address that was checked,
so that a name which resolves differently a moment later gains nothing. Redirects are not followed.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

RESOLVE_SECONDS = 5.0
CONNECT_SECONDS = 5.0
SECONDS_IN_ALL = 10.0
ANSWER_BYTES = 4096  # read of an answer, so that the connection ends properly; nothing is done with them
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # holds an IPv4 address in its last four bytes
NEVER = [
    ipaddress.ip_network(network)
    for network in (
        *("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),  # of protocols; the last of a cloud's host
        *("2001::/23", "2002::/16", "3fff::/20"),  # tunnels, which hold IPv4 addresses, and documentation
    )
]
"""What the library's ``is_global`` lets through, depending on its version."""


class AddressRefused(ValueError):
    """An address that is not asked, with the sentence for its owner."""


def is_public(address: str) -> bool:
    """Whether an IP address, as text, belongs to a host of the public internet."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip in NAT64:
            return is_public(str(ipaddress.ip_address(ip.packed[-4:])))
        if ip not in GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in NEVER)


def checked(url: str) -> tuple[SplitResult, str, int, list[str]]:
    """The parts of an https address, its host and port, and the host's IP addresses.

    Raises AddressRefused with a sentence if it is not such an address, or if it does not lead to the public internet.
    """
    parts, host, port = _parts_of(url)
    addresses = _resolve(host, port)
    if not settings.WEBHOOK_PRIVATE_ADDRESSES and not all(map(is_public, addresses)):
        raise AddressRefused(f"{host} is not a host of the public internet, so it is not called.")
    return parts, host, port, addresses


def _parts_of(url: str) -> tuple[SplitResult, str, int]:
    schemes = ("https", "http") if settings.WEBHOOK_PRIVATE_ADDRESSES else ("https",)
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except (ValueError, UnicodeError) as error:
        raise AddressRefused("This is not a complete web address.") from error
    if parts.scheme not in schemes or not host:
        raise AddressRefused("The address must begin with https://.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("The address must not contain a user name, a password or a #.")
    if any(ord(character) <= 32 or ord(character) > 126 for character in parts.path + parts.query):
        raise AddressRefused(
            "The address may contain only ASCII characters and no spaces. Encode others as %XX."
        )
    return parts, host, port or (443 if parts.scheme == "https" else 80)


def _resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a host, in the order of the system's preference."""
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        asked = pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = asked.result(RESOLVE_SECONDS)
    except (OSError, UnicodeError, TooSlow) as error:
        raise AddressRefused(f"The host {host} cannot be found.") from error
    finally:
        pool.shutdown(wait=False)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _Pinned(http.client.HTTPConnection):
    """A connection to one IP address; TLS checks the certificate for the host's name."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS)
        self.default_port = 443 if context else 80  # such a port is left out of the Host header
        self.address, self.context = address, context
        self.sock: Any = None
        self.reached: Any = None  # stays when http.client has handed its socket to an answer

    def connect(self) -> None:
        self.sock = self.reached = socket.create_connection((self.address, self.port), self.timeout)
        if self.context:
            self.sock = self.context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.reached = self.sock
            self.sock.do_handshake()

    def cut(self) -> None:
        """End the connection from another thread, whatever it is waiting for."""
        try:
            self.reached.shutdown(socket.SHUT_RDWR)
        except (AttributeError, OSError):
            pass


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """POST and return the status of the answer, within ``SECONDS_IN_ALL``.

    Raises AddressRefused, or OSError and http.client.HTTPException if there is no answer.
    """
    parts, host, port, addresses = checked(url)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    connection = _Pinned(host, port, addresses[0], context)
    clock = threading.Timer(SECONDS_IN_ALL, connection.cut)
    clock.daemon = True
    clock.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, dict(headers))
        answer = connection.getresponse()
        answer.read(ANSWER_BYTES)
        return answer.status
    finally:
        clock.cancel()
        connection.close()
