"""The one form in which an email address is stored, compared and written to."""

from typing import Any

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models


def normal_email(text: str) -> str:
    """The address in lower case, with an international domain in its ASCII form (IDNA).

    Raises ValidationError for what is not an address, and for characters outside ASCII before the @: most mail servers do
    not deliver to them, and some look like, or fold to, another address (İ, ſ, K).
    """
    local, at, domain = text.strip().rpartition("@")
    if not at:
        validate_email(text)
    if odd := next((character for character in local if not character.isascii()), ""):
        raise ValidationError(
            f"Before the @, an address may only have letters without accents, digits and common signs, not “{odd}” "
            f"(U+{ord(odd):04X}): mail would not reach it. Please give another address.",
            code="local_part",
        )
    try:
        domain = idna.encode(domain, uts46=True).decode() if not domain.isascii() else domain.lower()
    except idna.IDNAError as error:
        raise ValidationError(
            f"“{domain}” after the @ is not the name of a domain. Please check the address.", code="domain"
        ) from error
    address = f"{local.lower()}@{domain}"
    validate_email(address)
    return address


class NormalEmailField(models.EmailField):
    """An address, or nothing. Cleaning brings it into its normal form."""

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        return super().clean(normal_email(value) if value else value, model_instance)
