"""The exception whose message is shown to the user."""


class SynthError(Exception):
    """A fault that the user can correct; the message is one line with the remedy."""
