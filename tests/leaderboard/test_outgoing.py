"""Requests to addresses that users name reach nothing inside the server's own network."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from leaderboard.platform import outgoing
from leaderboard.platform.outgoing import AddressRefused, checked, is_public

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *(
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ),
    *("168.63.129.16", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::1", "2002:7f00:1::1", "2002:a00:1::", "2001::1", "3fff::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://017700000001/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.1.2.3:8443/hook",
        "https://localhost/",
        "https://localhost./",
        "https://①②⑦.0.0.1/",
    ],
)
def test_ways_to_write_a_private_address(url: str) -> None:
    with pytest.raises(AddressRefused):
        checked(url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://8.8.8.8/", "must begin with https"),
        ("ftp://8.8.8.8/", "must begin with https"),
        ("8.8.8.8/hook", "must begin with https"),
        ("https:///hook", "must begin with https"),
        ("https://user:secret@8.8.8.8/", "user name"),
        ("https://8.8.8.8/#x", "user name"),
        ("https://8.8.8.8:99999/", "complete web address"),
        ("https://8.8.8.8/a b", "ASCII"),
        ("https://8.8.8.8/\r\nX-Header: 1", "ASCII"),
        ("https://[8.8.8.8/", "complete web address"),
        ("https://no-such-host.invalid/", "cannot be found"),
        ("https://a..b/", "complete web address"),
    ],
)
def test_what_is_no_address(url: str, sentence: str) -> None:
    with pytest.raises(AddressRefused, match=sentence):
        checked(url)


def resolving_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """DNS gives these addresses, one list for each question; the last one repeats."""
    left = list(answers)
    ask = socket.getaddrinfo

    def resolve(host: str, port: int, *others: Any, **more: Any) -> list[Any]:
        if host.replace(".", "").isdigit():
            return ask(host, port, *others, **more)  # an address, to which the connection goes
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", resolve)


def test_a_name_that_leads_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, ["10.0.0.7"])
    with pytest.raises(AddressRefused, match=r"hook\.example is not a host of the public internet"):
        checked("https://hook.example/")
    resolving_to(monkeypatch, ["8.8.8.8", "127.0.0.1"])  # one is enough
    with pytest.raises(AddressRefused):
        checked("https://hook.example/")


def test_a_name_that_changes_after_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address that was checked, never to what the name means a moment later."""
    asked = []

    def connect(address: Any, *_: Any, **__: Any) -> Any:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(outgoing.socket, "create_connection", connect)
    resolving_to(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    with pytest.raises(ConnectionRefusedError):
        outgoing.post("https://hook.example/", b"", {})
    assert asked == [("8.8.8.8", 443)]
    with pytest.raises(AddressRefused):
        outgoing.post("https://hook.example/", b"", {})
    assert len(asked) == 1


class Receiver(BaseHTTPRequestHandler):
    """Answers as its path says."""

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.server.hosts.append(self.headers["Host"])  # type: ignore[attr-defined]
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)
        else:
            self.send_response(200)
            self.send_header("Content-Length", "2000000")
            self.end_headers()
            try:
                self.wfile.write(b"x" * 2_000_000)
            except OSError:
                pass

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    do_GET = do_POST


@contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.bodies, server.hosts, server.handle_error = [], [], lambda *_: None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def private(settings: Any) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = True


def test_a_redirect_is_an_answer(private: None) -> None:
    with receiver() as server:
        url = f"http://127.0.0.1:{server.server_port}"
        assert outgoing.post(f"{url}/redirect", b"body", {}) == 302
        assert server.bodies == [b"body"]


def test_of_a_long_answer_only_the_beginning_is_read(private: None) -> None:
    with receiver() as server:
        assert outgoing.post(f"http://127.0.0.1:{server.server_port}/?a=1", b"", {}) == 200


def test_an_endless_answer_is_cut_off(private: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "SECONDS_IN_ALL", 0.4)
    begun = time.monotonic()
    with receiver() as server:
        outgoing.post(f"http://127.0.0.1:{server.server_port}/endless", b"", {})
    assert time.monotonic() - begun < 5


def test_who_never_answers_is_cut_off(private: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "SECONDS_IN_ALL", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        for scheme in ("http", "https"):
            with pytest.raises(Exception, match=r".") as caught:
                outgoing.post(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/", b"", {})
            assert isinstance(caught.value, OSError | outgoing.http.client.HTTPException)
        assert time.monotonic() - begun < 4


def certificate(folder: Path, name: str) -> Path:
    """A key and a self-signed certificate for a host name, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName(name)] if name != "127.0.0.1" else [x509.IPAddress(ip_address(name))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_the_certificate_must_be_of_the_host(
    private: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to an IP address, but TLS asks for the name."""
    pem = certificate(tmp_path, "hook.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    resolving_to(monkeypatch, ["127.0.0.1"])
    with receiver(context) as server:
        address = f"hook.example:{server.server_port}"
        assert outgoing.post(f"https://{address}/", b"sealed", {}) == 200
        assert server.bodies == [b"sealed"]
        assert server.hosts == [address]
        with pytest.raises(ssl.SSLCertVerificationError):
            outgoing.post(f"https://other.example:{server.server_port}/", b"", {})
        monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
        with pytest.raises(ssl.SSLCertVerificationError):
            outgoing.post(f"https://{address}/", b"", {})
        assert len(server.bodies) == 1
