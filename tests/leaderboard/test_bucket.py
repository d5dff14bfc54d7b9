"""Uploads in an unreachable bucket: one kind of error, reported soon."""

import pytest
from django.core.files.base import ContentFile

from leaderboard.platform.bucket import Bucket
from tests.services import free_port


@pytest.mark.parametrize("act", ["open", "save", "exists", "delete"])
def test_a_bucket_that_does_not_answer_is_an_error_of_the_system(act: str) -> None:
    bucket = Bucket(
        bucket_name="b",
        endpoint_url=f"http://127.0.0.1:{free_port()}",
        region_name="us-east-1",
        access_key="a",
        secret_key="b",
        file_overwrite=True,
    )
    arguments = (ContentFile(b"PK"),) if act == "save" else ()
    with pytest.raises(OSError, match=r"The bucket failed at 1/1/x\.zip: .*connect"):
        getattr(bucket, act)("1/1/x.zip", *arguments)
