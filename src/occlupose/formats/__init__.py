"""Formats of poses that other tools write, one module each; `read` takes them all, and our own.

A module says by what it recognises its files, and reads them into a `recording.Recording`; `registry.FORMATS` lists
them. `reading` makes `Poses` of it: it finds the joints by their names (`names`), tells people apart (`people`) where
the file does not, and checks that the numbers are pixels.
"""

from occlupose.formats.reading import OURS, ReadPoses, from_array, read

__all__ = ["OURS", "ReadPoses", "from_array", "read"]
