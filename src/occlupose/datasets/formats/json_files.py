"""Reads JSON files of other projects and checks them against a schema."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from occlupose.cameras import MAX_SIDE
from occlupose.errors import unreadable, wrong_schema

Side = Annotated[int, Field(ge=0, le=MAX_SIDE)]
"""Width or height of an image in a file, px."""

T = TypeVar("T")


def read_json(path: Path, schema: TypeAdapter[T], hint: str) -> T:
    """The content of a file of this schema.

    Arguments:
        hint: what to give instead, for the error message.

    Raises:
        OccluposeError: the file cannot be read, or does not have this schema; says where.
    """
    try:
        return schema.validate_json(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error, hint) from error
    except ValidationError as error:
        raise wrong_schema(path, error, hint) from error
