"""The log of a service as JSON: one object a line, for programs that collect logs."""

import json
import logging
from datetime import UTC, datetime

from merau.engine.text import plain_lines


class JsonFormatter(logging.Formatter):
    """Writes a record as {"time", "level", "message"}, with "camera" where it concerns one and "thread" else.

    Tracebacks stand in "traceback". Control characters are replaced, as everywhere in logs.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": plain_lines(record.getMessage()),
        }
        camera = getattr(record, "camera", None)
        fields |= {"camera": str(camera)} if camera is not None else {"thread": str(record.threadName)}
        if record.exc_info:
            fields["traceback"] = plain_lines(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False)
