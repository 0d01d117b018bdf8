"""The exception for everything that a user can cause and mend."""


class OccluposeError(Exception):
    """A file, option or value from the user that cannot be used.

    The message is one line, `FILE: what was wrong; what would be right`. The command line prints it and exits with code
    2.
    """
