"""The exception for everything that a user can cause and mend."""


class OccluposeError(Exception):
    """A file, option or value from the user that cannot be used.

    The message is one line, `FILE: what was wrong; what would be right`. The command line prints it and exits with code
    2.
    """


def unreadable(file: object, error: OSError, hint: str) -> OccluposeError:
    """The error for a file that the system cannot read.

    Arguments:
        file: its path, or what else names it.
        hint: what to give instead.
    """
    return OccluposeError(f"{file}: cannot be read ({(error.strerror or str(error)).lower()}); {hint}")
