"""The form of an upload, checked while it arrives: one file of a listed type and nothing else."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MAX_HEADER_BYTES = 8192  # of one part


class UploadForm:
    """A multipart body that passes by. What Gradio does not bound ends it: fields, many parts, any type of file.

    Args:
        content_type: The header of that name.
        suffixes: Allowed suffixes of the file's name, in lower case.

    Attributes:
        is_refused: Whether the body is something else than one allowed file.
    """

    def __init__(self, content_type: str, suffixes: tuple[str, ...]) -> None:
        self._suffixes = suffixes
        self._parts = 0
        self._header = [b"", b""]  # name and value, as far as they have arrived
        self._disposition = b""
        self.is_refused = False
        callbacks = {
            "on_part_begin": self._begin_part,
            "on_header_begin": self._begin_header,
            "on_header_field": lambda data, start, end: self._read_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._read_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._check_part,
        }
        _, options = parse_options_header(content_type)
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks)  # type: ignore[arg-type]
        except (KeyError, FormParserError):
            self.is_refused = True

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            if not self.is_refused:
                self._parser.write(data)
        except FormParserError:
            self.is_refused = True

    def _begin_part(self) -> None:
        self._parts += 1
        self._disposition = b""
        self.is_refused = self.is_refused or self._parts > 1

    def _begin_header(self) -> None:
        self._header = [b"", b""]

    def _read_header(self, place: int, data: bytes) -> None:
        self._header[place] += data[: MAX_HEADER_BYTES + 1]
        self.is_refused = self.is_refused or len(self._header[place]) > MAX_HEADER_BYTES

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value

    def _check_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"filename", b"").decode("utf-8", "replace").lower()
        self.is_refused = self.is_refused or not name.endswith(self._suffixes)
