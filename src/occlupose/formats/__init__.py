"""Formats of poses that other tools write or read, one module each; `read` takes them all, and our own.

A module says by what it recognises its files, and reads them into a `recording.Recording`; `registry.FORMATS` lists
them. `reading` makes `Poses` of it: it finds the joints by their names (`names`), tells people apart (`people`) where
the file does not, and checks that the numbers are pixels.

Some modules write poses, too; `registry.EXPORTS` lists these formats, and `writing` gives each the poses that it holds.
"""

from occlupose.formats.reading import OURS, ReadPoses, check_2d, from_array, read
from occlupose.formats.writing import check, file_name, remove, write, write_all

__all__ = ["OURS", "ReadPoses", "check", "check_2d", "file_name", "from_array", "read", "remove", "write", "write_all"]
