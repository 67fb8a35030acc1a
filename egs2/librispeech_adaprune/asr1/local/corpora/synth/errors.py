"""The one exception whose message is shown to the user as it is."""


class SynthError(Exception):
    """Something the user can put right; the message is one line and says how."""
