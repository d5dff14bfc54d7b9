"""What is answered otherwise than as JSON."""

from typing import Any

from rest_framework.renderers import BaseRenderer


class CSV(BaseRenderer):
    """A text that is CSV already."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return str(data).encode()


class OnlyCSV(CSV):
    """Of an address that ends in .csv: whatever the client accepts."""

    media_type = "*/*"


class NPZ(BaseRenderer):
    """Bytes of an archive of NumPy arrays."""

    media_type = "application/x-npz"
    format = "npz"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return bytes(data)


class Download(BaseRenderer):
    """Of an address with one kind of file: whatever the client accepts, the view answers with the file."""

    media_type = "*/*"
    format = ""

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> Any:
        return data
