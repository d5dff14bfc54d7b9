"""Large files from the disk, whole or in part: ranges, conditional requests and HEAD, on WhiteNoise's parts."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import Response, SlicedFile, StaticFile


class Download(StaticFile):
    """A file as an attachment. WhiteNoise refuses a range of a single byte, with which clients ask whether ranges are
    possible; this does not."""

    def __init__(self, path: str, name: str, etag: str) -> None:
        headers = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Disposition", f'attachment; filename="{name}"'),
            ("Accept-Ranges", "bytes"),
            ("ETag", f'"{etag}"'),
            ("Cache-Control", "private, no-cache"),
        ]
        super().__init__(path, headers)

    def get_range_response(self, range_header: str, base_headers: Any, file_handle: Any) -> Response:
        headers = [(name, value) for name, value in base_headers if name != "Content-Length"]
        size = int(dict(base_headers)["Content-Length"])
        start, end = self.get_byte_range(range_header, size)
        if start > end:
            return self.get_range_not_satisfiable_response(file_handle, size)
        part = None if file_handle is None else SlicedFile(file_handle, start, end)
        headers += [
            ("Content-Range", f"bytes {start}-{end}/{size}"),
            ("Content-Length", str(end - start + 1)),
        ]
        return Response(HTTPStatus.PARTIAL_CONTENT, headers, part)

    def get_response(self, method: str, request_headers: Any) -> Response:
        """Ignore the range if it belongs to another version of the file (If-Range)."""
        only_if = request_headers.get("HTTP_IF_RANGE")
        if only_if is not None and only_if != self.etag:
            request_headers = {k: v for k, v in request_headers.items() if k != "HTTP_RANGE"}
        return super().get_response(method, request_headers)


def download(request: HttpRequest, path: str, name: str, etag: str) -> HttpResponseBase:
    """The file at ``path`` as an attachment called ``name``. ``etag`` changes with its content. Raises OSError without it."""
    return WhiteNoiseMiddleware.serve(Download(path, name, etag), request)
