"""The one exception that a person sees: its text is a complete sentence and is printed as it stands."""


class UserError(Exception):
    """Something the user can mend: a wrong path, a wrong password, a value out of range. Never shown as a traceback."""
