"""Uploads in an S3 bucket: a service that does not answer is an OSError within a minute, as a disk that fails is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage

# Two tries of at most 5 + 20 seconds: whoever uploads waits for them.
PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2, "mode": "standard"})


class Bucket(S3Storage):
    """A prefix of a bucket. Errors: FileNotFoundError for a file that is not there, else OSError."""

    def __init__(self, **options: Any) -> None:
        super().__init__(client_config=PATIENCE, **options)

    def _open(self, name: str, mode: str = "rb") -> Any:
        with told_as_os_error(name):
            opened = super()._open(name, mode)
            if "r" in mode:
                opened.seek(0)  # fetches it now, not when somebody who knows no bucket reads it
            return opened

    def _save(self, name: str, content: Any) -> Any:
        with told_as_os_error(name):
            return super()._save(name, content)

    def exists(self, name: str) -> bool:
        with told_as_os_error(name):
            return bool(super().exists(name))

    def delete(self, name: str) -> None:
        with told_as_os_error(name):
            super().delete(name)


@contextmanager
def told_as_os_error(name: str) -> Iterator[None]:
    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise OSError(f"The bucket failed at {name}: {error}") from error
