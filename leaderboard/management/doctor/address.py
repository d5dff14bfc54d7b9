"""The site's own address, as a visitor reaches it: name, port, certificate, redirects, proxy, style sheets."""

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urljoin, urlsplit

from django.conf import settings

from leaderboard.management.doctor.findings import Finding, fault, ok, warning
from leaderboard.platform import health, proxies

SECONDS = 10.0
SOON_DAYS = 14  # before a certificate expires
SKEW_SECONDS = 5
FORGED = "203.0.113.77"  # an address for documentation: nobody has it
CERTIFICATE_FIXES = (
    ("expired", "Renew the certificate and let the proxy load it (nginx -s reload)."),
    ("not yet valid", "Set the clock of this machine, or use the certificate when it becomes valid."),
    ("ostname mismatch", "Use a certificate for the host name of SITE_URL, or correct SITE_URL."),
    ("IP address mismatch", "Use a certificate for the address of SITE_URL, or a SITE_URL with a host name."),
    ("self-signed", "Use a certificate that browsers know, or name its authority: --ca FILE."),
    (
        "unable to get local issuer",
        "Serve the whole chain (fullchain.pem), or name the authority: --ca FILE.",
    ),
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def place(self) -> str:
        return self.headers.get("location", "")


@dataclass
class Visitor:
    """Sends requests to `url` (scheme, host and port) and follows no redirect."""

    url: str
    ca: str | None = None
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self.encrypted, self.host = parts.scheme == "https", parts.hostname or ""
        self.port = parts.port or (443 if self.encrypted else 80)
        self.context = ssl.create_default_context(cafile=self.ca)

    def get(self, path: str, **headers: str) -> Answer:
        """Raises OSError or HTTPException if no answer comes."""
        connection: HTTPConnection
        if self.encrypted:
            connection = HTTPSConnection(self.host, self.port, timeout=SECONDS, context=self.context)
        else:
            connection = HTTPConnection(self.host, self.port, timeout=SECONDS)
        try:
            connection.request(
                "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )
            answer = connection.getresponse()
            body = answer.read(1 << 20).decode(errors="replace")
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
        finally:
            connection.close()


def examine(url: str, ca: str | None = None) -> Iterator[Finding]:
    """Everything about the address, up to the first fault that hides the rest."""
    visitor = Visitor(url, ca)
    for step in (_name, _port, _certificate, _plain, _server, _page, _proxy, _styles):
        try:
            findings = list(step(visitor))
        except (OSError, HTTPException) as error:
            findings = [
                fault(
                    "connection",
                    f"{visitor.url} broke off: {error}",
                    "Look into the log of the proxy and of the server.",
                )
            ]
        yield from findings
        if any(finding.level == "FAULT" for finding in findings):
            return


def _name(visitor: Visitor) -> Iterator[Finding]:
    try:
        found = sorted(
            {
                str(row[4][0])
                for row in socket.getaddrinfo(visitor.host, visitor.port, type=socket.SOCK_STREAM)
            }
        )
    except OSError as error:
        fix = "Add a DNS record (A or AAAA) for it, or correct SITE_URL. Inside a container, its own resolver must know the name."
        yield fault("DNS", f"{visitor.host} has no address: {error.strerror or error}", fix)
        return
    yield ok("DNS", f"{visitor.host} is {', '.join(found)}")


def _port(visitor: Visitor) -> Iterator[Finding]:
    try:
        socket.create_connection((visitor.host, visitor.port), SECONDS).close()
    except OSError as error:
        fix = (
            "Start the proxy and the server, open the port in the firewall, or correct the port in SITE_URL."
        )
        yield fault(
            "port", f"port {visitor.port} of {visitor.host} does not answer: {error.strerror or error}", fix
        )
        return
    yield ok("port", f"port {visitor.port} answers")


def _certificate(visitor: Visitor) -> Iterator[Finding]:
    if not visitor.encrypted:
        return
    try:
        with (
            socket.create_connection((visitor.host, visitor.port), SECONDS) as raw,
            visitor.context.wrap_socket(raw, server_hostname=visitor.host) as secured,
        ):
            certificate, version = secured.getpeercert() or {}, secured.version()
    except ssl.SSLCertVerificationError as error:
        fixes = [fix for words, fix in CERTIFICATE_FIXES if words in error.verify_message]
        yield fault(
            "TLS",
            f"browsers refuse the certificate: {error.verify_message}",
            (fixes or ["Use another certificate."])[0],
        )
        return
    except ssl.SSLError as error:
        yield fault(
            "TLS",
            f"port {visitor.port} does not speak TLS: {error.reason}",
            "Let the proxy listen with TLS on this port.",
        )
        return
    days = int((ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86400)
    said = f"{version}, the certificate is valid for {days} more days"
    yield (
        warning("TLS", said, "Renew it, and check the timer that should.")
        if days < SOON_DAYS
        else ok("TLS", said)
    )


def _plain(visitor: Visitor) -> Iterator[Finding]:
    """Visitors who type the name alone."""
    if not visitor.encrypted or urlsplit(visitor.url).port:
        return
    fix = "Let the proxy listen on port 80 and redirect to https."
    try:
        answer = Visitor(f"http://{urlsplit(visitor.url).netloc}").get("/")
    except (OSError, HTTPException) as error:
        yield warning("http", f"port 80 does not answer: {error}", fix)
        return
    if answer.status in (301, 302, 307, 308) and answer.place.startswith("https://"):
        yield ok("http", f"port 80 leads to {answer.place}")
    else:
        yield warning("http", f"port 80 answers {answer.status} instead of leading to https", fix)


def _server(visitor: Visitor) -> Iterator[Finding]:
    answer = visitor.get("/healthz")
    if answer.status == 200 and '"status": "ok"' in answer.body:
        yield ok("server", "the leaderboard answers at this address")
    elif answer.status in (502, 503, 504):
        fix = "Start the web server; the proxy must reach it under the name and port in its settings (nginx: upstream)."
        yield fault("server", f"the proxy does not reach the web server ({answer.status})", fix)
    elif answer.status == 400:
        fix = "Let the proxy pass on the host (nginx: proxy_set_header Host $http_host), or add the name to ALLOWED_HOSTS."
        yield fault("server", "the server does not know the host name that the proxy sends (400)", fix)
    else:
        fix = "Correct SITE_URL, or what the proxy does with it."
        yield fault(
            "server", f"something other than the leaderboard answers at this address ({answer.status})", fix
        )


def _page(visitor: Visitor) -> Iterator[Finding]:
    answer = visitor.get("/")
    if answer.status == 200:
        yield ok("home page", "answers 200")
    elif answer.status == 500 and answer.body.strip() in (proxies.NOT_BELIEVED, proxies.NOT_SAID):
        yield fault("redirect", "every page would lead to itself for ever", answer.body.strip())
    elif 300 <= answer.status < 400 and urljoin(f"{visitor.url}/", answer.place).rstrip("/") == visitor.url:
        yield fault(
            "redirect", "the home page leads to itself for ever", f"{proxies.NOT_BELIEVED} {proxies.NOT_SAID}"
        )
    elif 300 <= answer.status < 400:
        yield ok("home page", f"leads to {answer.place}")
    else:
        yield fault("home page", f"answers {answer.status}", "Look for the error in the server's log.")


def _proxy(visitor: Visitor) -> Iterator[Finding]:
    """What the server believes of a request with forged headers."""
    forged = {"X_Forwarded_For": FORGED, "X_Forwarded_Proto": "http" if visitor.encrypted else "https"}
    if settings.REQUEST_TIME_HEADER:
        forged[settings.REQUEST_TIME_HEADER] = "3600"
    answer = visitor.get("/as-seen", X_Doctor=health.challenge(), **forged)
    if answer.status != 200:
        fix = "Run doctor with the environment and the version of the web server, on any of its hosts."
        yield fault(
            "server",
            "the web server does not recognise this command (another SECRET_KEY, version or clock)",
            fix,
        )
        return
    seen = json.loads(answer.body)
    added = [each for each in seen["forwarded_for"] if each != FORGED]
    yield from _believed(visitor, seen, len(added))
    if seen["host"] != urlsplit(visitor.url).netloc:
        fix = "Let the proxy pass it on with its port (nginx: proxy_set_header Host $http_host)."
        yield warning("host", f"the server sees the host {seen['host']}", fix)
    if settings.REQUEST_TIME_HEADER and seen["seconds"] >= 3600:
        fix = f"Let the proxy overwrite {settings.REQUEST_TIME_HEADER}, or leave REQUEST_TIME_HEADER empty."
        yield fault("proxy", "clients can choose when their upload began", fix)
    skew = abs(time.time() - seen["time"])
    if skew > SKEW_SECONDS:
        yield fault(
            "clock",
            f"the web server's clock is {skew:.0f} s away from this one",
            "Let NTP set the clocks of all hosts.",
        )


def _believed(visitor: Visitor, seen: dict[str, object], proxies_in_front: int) -> Iterator[Finding]:
    believed = settings.TRUSTED_PROXIES
    if seen["secure"] != visitor.encrypted:
        fix = "Let the proxy set the header itself, whatever the client sent (nginx: proxy_set_header X-Forwarded-Proto $scheme)."
        yield fault("proxy", "a client's own X-Forwarded-Proto reaches the server, which believes it", fix)
    elif believed and seen["address"] == FORGED:
        fix = f"Set TRUSTED_PROXIES={proxies_in_front}" + (
            ""
            if proxies_in_front
            else ", or let the proxy add to the header (nginx: $proxy_add_x_forwarded_for)"
        )
        yield fault("proxy", "clients can choose the address under which they are counted", f"{fix}.")
    elif proxies_in_front > believed:
        fix = f"If each of them is yours, set TRUSTED_PROXIES={proxies_in_front}. Otherwise all visitors share one limit of requests."
        yield warning("proxy", f"{proxies_in_front} in front, but TRUSTED_PROXIES is {believed}", fix)
    else:
        said = f"{believed} in front, as TRUSTED_PROXIES says" if believed else "none in front"
        yield ok("proxy", f"{said}; forged headers are not believed")


def _styles(visitor: Visitor) -> Iterator[Finding]:
    link = re.search(r'<link[^>]+href="([^"]+\.css)"', visitor.get("/accounts/login/").body)
    if link is None:
        yield warning(
            "static files", "the sign-in page names no style sheet", "Look for the error in the server's log."
        )
        return
    answer = visitor.get(link[1])
    if answer.status == 200 and answer.headers.get("content-type", "").startswith("text/css"):
        yield ok("static files", f"{link[1]} is served")
    else:
        fix = "Run `manage.py collectstatic` where the web server runs (STATIC_ROOT), and let the proxy pass on /static/."
        yield fault("static files", f"{link[1]} answers {answer.status}: pages have no style", fix)
