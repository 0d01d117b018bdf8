"""JSON files of others: read, and checked against the form that they should have."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from occlupose.errors import OccluposeError

T = TypeVar("T")


def read(path: Path, form: TypeAdapter[T], cure: str) -> T:
    """What is in a file of this form.

    Arguments:
        cure: what to give instead, where it is of another.

    Raises:
        OccluposeError: it cannot be read, or is of another form; says where.
    """
    try:
        return form.validate_json(path.read_bytes())
    except OSError as error:
        raise OccluposeError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); {cure}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{'.' if name else ''}{part}" for name, part in enumerate(first["loc"])) or "the file"
        raise OccluposeError(f"{path}: {where}: {first['msg'].lower()}; {cure}") from error
