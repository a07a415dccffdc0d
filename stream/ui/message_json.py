"""Messages as JSON, which the page's scripts translate."""

from typing import Any

from merau.engine.errors import Message


def to_json(message: Message | str) -> Any:
    """Convert a message to {"id": template, "values": {...}}, which core.js translates; text stays as it is.

    Serves as `default` of json.dumps, too.
    """
    if isinstance(message, str):
        return message
    values: dict[str, Any] = message.plain_values() | {
        name: to_json(value) for name, value in message.values.items() if isinstance(value, Message)
    }
    return {"id": message.template, "values": values}
