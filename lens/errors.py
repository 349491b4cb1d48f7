"""How a command fails: one clear sentence."""


class LensError(Exception):
    """A command cannot do what it was asked; the message is the sentence that is printed."""


class NotThereError(LensError):
    """The API knows nothing of that name."""
