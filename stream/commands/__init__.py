"""The commands of `merau`; each module has `add_parser` and `run`. Heavy imports stay inside `run`."""
