"""The cast of every view test: owner, teammate, rival, stranger, organiser (see ``factories.Cast``); both kinds of storage."""

from typing import Any

import boto3
import pytest
from django.core.files.storage import storages
from moto import mock_aws

from leaderboard.models import Submission, UploadPart
from leaderboard.platform.bucket import Bucket
from tests.leaderboard.factories import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The uploads' storage: a folder, or a bucket of an emulated S3."""
    if request.param == "folder":
        yield storages["uploads"]
        return
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="uploads")
        bucket = Bucket(
            bucket_name="uploads",
            location="uploads",
            region_name="us-east-1",
            access_key="a",
            secret_key="b",
            file_overwrite=False,
            max_memory_size=1 << 20,
        )
        monkeypatch.setitem(storages._storages, "uploads", bucket)
        for model, field in ((UploadPart, "file"), (Submission, "archive")):
            monkeypatch.setattr(model._meta.get_field(field), "storage", bucket)
        yield bucket
