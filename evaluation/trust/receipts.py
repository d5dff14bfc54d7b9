"""Receipts: what a server says about one scored submission, signed, so anyone can check it later without the server.

A receipt is a JSON object with two parts. ``statement`` says what was received, when, and how it was scored;
``signature`` holds the Ed25519 signature of its canonical form: JSON with sorted keys, no blanks, ASCII only.
Commitments to hidden labels are checked here too. Only signatures need the package ``cryptography``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

ed25519: Any
try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519
except ImportError:  # scoring alone does not need it
    ed25519 = None

FORMAT = "leaderboard-receipt/1"
PEM = "-----BEGIN PUBLIC KEY-----"


class MissingPackage(RuntimeError):
    """Signatures cannot be made or checked here, which says nothing about a receipt."""


class ReceiptInvalid(ValueError):
    """Why a receipt, or the key it is checked with, cannot be trusted."""


def canonical(statement: dict[str, Any]) -> bytes:
    """The bytes that are signed."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def commitment(salt: str, labels_sha256: str) -> str:
    """SHA-256 (hex) of "SALT:SHA256", the latter of the packed masks (``evaluation.scoring.counts.sha256``): published
    before a phase, it fixes the labels and reveals nothing of them; afterwards the salt lets anyone check it."""
    return hashlib.sha256(f"{salt}:{labels_sha256}".encode()).hexdigest()


def sign(statement: dict[str, Any], secret: str) -> dict[str, Any]:
    """The receipt of a statement, signed with the key that belongs to a secret text."""
    signature = _private_key(secret).sign(canonical(statement))
    return {
        "statement": statement,
        "signature": {
            "algorithm": "Ed25519",
            "key_sha256": fingerprint(public_key(secret)),
            "value": base64.b64encode(signature).decode(),
        },
    }


def public_key(secret: str) -> str:
    """The public key that belongs to a secret text, as PEM."""
    key = _private_key(secret).public_key()
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_bytes(*pem).decode())


def fingerprint(pem: str) -> str:
    """SHA-256 (hex) of a public key, by which people compare keys."""
    key = _load_key(pem)
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


def verify(receipt: Any, pem: str) -> dict[str, Any]:
    """The statement of a receipt that this key signed. Raises ReceiptInvalid for any other."""
    key = _load_key(pem)
    try:
        statement, signature = receipt["statement"], receipt["signature"]
        value = base64.b64decode(signature["value"], validate=True)
        signed = canonical(statement)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ReceiptInvalid(f"This is not a receipt: {type(error).__name__} at {error}.") from error
    try:
        key.verify(value, signed)
    except InvalidSignature:
        raise ReceiptInvalid(
            "The signature does not fit: the receipt was changed, or another server's key signed it."
        ) from None
    if not isinstance(statement, dict) or statement.get("format") != FORMAT:
        raise ReceiptInvalid(f"This key signed it, but it is not a receipt of the format {FORMAT}.")
    return statement


def _private_key(secret: str) -> Any:
    """A key of 32 bytes from a secret text of any length."""
    _need_cryptography()
    return ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())


def _load_key(pem: str) -> Any:
    _need_cryptography()
    if PEM not in pem:
        raise ReceiptInvalid(
            f"This is not a public key. Save the server's /receipts/key: a text that begins with {PEM}."
        )
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError as error:
        raise ReceiptInvalid(
            "The public key cannot be read. Save the server's /receipts/key again."
        ) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ReceiptInvalid("This is the key of another algorithm; receipts are signed with Ed25519.")
    return key


def _need_cryptography() -> None:
    if ed25519 is None:
        raise MissingPackage("Signatures need the package cryptography: run pip install cryptography.")
