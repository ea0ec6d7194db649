"""What a command says when what it was given does not do."""


class Wrong(Exception):
    """The text is a sentence for the user, who gets no traceback."""
