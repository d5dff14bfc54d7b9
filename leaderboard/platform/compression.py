"""Compressed text, for servers without nginx. Archives and pictures are compressed already, and ranges of a file
must stay those of the file."""

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware

TEXT = ("text/", "application/json", "application/problem+json", "application/javascript", "image/svg+xml")


class TextGZipMiddleware(GZipMiddleware):
    """Compresses whole answers of text; Django adds padding of random length, so that sizes say nothing about secrets."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.status_code != 200 or not response.get("Content-Type", "").startswith(TEXT):
            return response
        return super().process_response(request, response)
