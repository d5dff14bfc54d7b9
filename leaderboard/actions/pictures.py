"""Pictures of a competition's pages, and its logo."""

import hashlib
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from leaderboard.models import AuditEntry, Competition, Picture
from leaderboard.models.pictures import MOST_BYTES, media_type_of

from .data_files import file_name
from .refusals import InvalidInput, check_fields, check_helper


def keep_picture(user: Any, picture: Picture, content: bytes | None) -> None:
    """Save a new or renamed picture; ``content`` None: the bytes stay."""
    check_helper(user, picture.competition)
    try:
        file_name(picture.name)
    except ValidationError as error:
        raise InvalidInput(error.messages[0], fields={"name": error.messages}) from error
    check_fields(picture, "name")
    if content is not None:
        check_content(content)
        picture.content, picture.media_type = content, media_type_of(content) or ""
        picture.sha256 = hashlib.sha256(content).hexdigest()
    with transaction.atomic():
        picture.save()
        _log("picture saved", user, picture)


def check_content(content: bytes) -> None:
    """Refuse what is not a picture that pages show. Only these types are ever served, each under its own."""
    if len(content) > MOST_BYTES:
        sentence = f"The picture has {len(content):,} bytes; {MOST_BYTES:,} are taken. Save it smaller."
    elif media_type_of(content) is None:
        sentence = "This is no PNG, JPEG, WebP or GIF file. Save it as one of these."
    else:
        return
    raise InvalidInput(sentence, fields={"upload": [sentence]})


def delete_picture(user: Any, picture: Picture) -> None:
    check_helper(user, picture.competition)
    with transaction.atomic():
        Competition.objects.filter(pk=picture.competition_id, logo=picture.name).update(logo="")
        _log("picture deleted", user, picture)
        picture.delete()


def _log(act: str, user: Any, picture: Picture) -> None:
    AuditEntry.objects.append(act, competition=picture.competition, actor=user, subject=picture.name)
