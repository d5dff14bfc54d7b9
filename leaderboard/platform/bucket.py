"""Uploads in an S3 bucket. A silent service raises OSError within a minute, like a failing disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage

# Two tries of at most 5 + 20 seconds: the person who uploads has to wait for them.
PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2, "mode": "standard"})


class Bucket(S3Storage):
    """A prefix of a bucket. Raises FileNotFoundError for a missing file, otherwise OSError."""

    def __init__(self, **options: Any) -> None:
        super().__init__(client_config=PATIENCE, **options)

    def _open(self, name: str, mode: str = "rb") -> Any:
        with told_as_os_error(name):
            opened = super()._open(name, mode)
            if "r" in mode:
                opened.seek(0)  # fetches it now, so that S3 errors surface here
            return opened

    def _save(self, name: str, content: Any) -> Any:
        with told_as_os_error(name):
            return super()._save(name, content)

    def exists(self, name: str) -> bool:
        with told_as_os_error(name):
            return bool(super().exists(name))

    def listdir(self, name: str) -> Any:
        with told_as_os_error(name):
            return super().listdir(name)

    def delete(self, name: str) -> None:
        with told_as_os_error(name):
            super().delete(name)


@contextmanager
def told_as_os_error(name: str) -> Iterator[None]:
    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise OSError(f"The bucket failed at {name}: {error}") from error
