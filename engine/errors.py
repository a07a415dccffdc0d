"""The exceptions that a person sees: their text is a complete sentence and is printed as it stands."""


class UserError(Exception):
    """Something the user can mend: a wrong path, a wrong password, a value out of range. Never shown as a traceback."""


class DeviceError(UserError):
    """The GPU, its driver or a library cannot do what was asked; the CPU can take over."""
