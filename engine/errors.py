"""Messages and exceptions that a person sees: each is a complete sentence and is shown as it stands."""

from dataclasses import dataclass, field

from merau.engine.text import plain


@dataclass(frozen=True)
class Message:
    """A sentence with values to fill in.

    Attributes:
        template: The English sentence with a `{name}` for each value; it is also the id of its translations.
        values: What is filled in, by name. A value may be a Message itself.
    """

    template: str
    values: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """The sentence in English; values stand on one line and command no terminal."""
        return self.template.format(**self.plain_values()) if self.values else self.template

    def plain_values(self) -> dict[str, str]:
        """Return the values as English text."""
        return {
            name: str(value) if isinstance(value, Message) else plain(str(value)) for name, value in self.values.items()
        }


class UserError(Exception):
    """Something the user can fix: a wrong path, a wrong password, a value out of range. Never shown as a traceback.

    A sentence that a page may show is given as a template with values, so that it can be translated:
    `UserError("There is no file '{name}'.", name=path)`.
    """

    def __init__(self, template: str, **values: object) -> None:
        """Fill `values` into `template`."""
        self.message = Message(template, values)
        super().__init__(str(self.message))

    @classmethod
    def from_message(cls, message: Message) -> "UserError":
        """Raise what a state reports, without losing its template."""
        return cls(message.template, **message.values)


class DeviceError(UserError):
    """The GPU, its driver or a library cannot do what was asked; the CPU can take over."""
