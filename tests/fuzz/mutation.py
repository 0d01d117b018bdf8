"""Seeded changes of valid files, with and without regard to their structure."""

import copy
import io
import json
import math
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

Mutator = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: of the format.
        make: writes a valid file, and what belongs to it, into an empty folder; gives the file's path.
        change: of its content.
        read: the reader, called with the file's path.
        share: of the inputs, relative to the others.
    """

    name: str
    make: Callable[[Path], Path]
    change: Mutator
    read: Callable[[Path], Any]
    share: float = 1.0

    def mutated(self, seed: int, content: bytes) -> bytes:
        """The input of a seed, made from the content of a valid file."""
        return self.change(Random(f"{self.name} {seed}"), content)


INTEGERS = (0, 1, -1, 2, 127, 128, 255, 256, 32_767, 65_535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, 2**63, -(2**63))
NUMBERS = (*INTEGERS, 0.5, -0.5, 1e-300, 1e20, -1e20, 1e38, 1e300, 1e308, math.nan, math.inf, -math.inf, 20_000_000)
WORDS = (
    "",
    "a",
    "a\nb",
    "../../etc/passwd",
    "/etc/passwd",
    "\x1b[31m",
    "\0",
    "nan",
    "1e999",
    "x" * 5000,
    "é",
    "\ud800",
)
VALUES = (*NUMBERS, *WORDS, None, True, False, 10**30, 10**400, [], {}, [[]], [None], {"a": 1}, [1, 2, 3], [[[[1]]]])
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def change_bytes(random: Random, content: bytes) -> bytes:
    """One to four changes of bits, bytes, numbers and pieces."""
    data = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(data) + 1)
        size = random.choice((1, 2, 4, 8, random.randint(1, 64)))
        kind = random.randrange(8)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << random.randrange(8)
        elif kind == 1:
            data[place : place + 1] = bytes([random.choice((0, 1, 127, 128, 255, random.randrange(256)))])
        elif kind == 2:
            data[place:place] = random.randbytes(size)
        elif kind == 3:
            del data[place : place + size]
        elif kind == 4:
            data[place:place] = data[place : place + size]
        elif kind == 5 and random.random() < 0.3:
            del data[place:]
        elif kind == 6:
            other = random.randrange(len(data) + 1)
            data[place : place + size] = data[other : other + size]
        else:
            width = random.choice((2, 4, 8))
            number = random.choice(INTEGERS) % 2 ** (8 * width)
            data[place : place + width] = number.to_bytes(width, random.choice(("little", "big")))
    return bytes(data)


def change_text(random: Random, content: bytes) -> bytes:
    """Changes of numbers, words and lines, and sometimes of bytes."""
    if random.random() < 0.15:
        return change_bytes(random, content)
    lines = content.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if not lines:
            break
        place = random.choice((0, 1, random.randrange(len(lines)))) % len(lines)
        kind = random.randrange(7)
        if kind == 0:
            del lines[place]
        elif kind == 1:
            lines.insert(place, lines[random.randrange(len(lines))])
        elif kind == 2:
            lines[place] = lines[place][: random.randrange(len(lines[place]) + 1)]
        elif kind == 3:
            lines[place] = lines[place].replace(random.choice(",\t ;:"), random.choice(",\t ;\n"))
        else:
            lines[place] = _with_other_number(random, lines[place])
    return "".join(lines).encode("utf-8", "surrogatepass")


def _with_other_number(random: Random, line: str) -> str:
    found = list(NUMBER.finditer(line))
    if not found:
        words = line.split(" ")
        words[random.randrange(len(words))] = random.choice(WORDS)
        return " ".join(words)
    match = random.choice(found)
    return f"{line[: match.start()]}{random.choice((*NUMBERS, '', 'a', '1e999', '9' * 400))}{line[match.end() :]}"


def change_json(random: Random, content: bytes) -> bytes:
    """Changes of values, keys and lists of a document, and sometimes of its text."""
    document = json.loads(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        document = _with_other_part(random, document)
    text = json.dumps(document, ensure_ascii=random.random() < 0.9).encode("utf-8", "surrogatepass")
    chance = random.random()
    if chance < 0.01:
        place = random.randrange(len(text) + 1)
        return text[:place] + b"[" * 100_000 + text[place:]
    return change_bytes(random, text) if chance < 0.15 else text


def _with_other_part(random: Random, document: Any) -> Any:
    """The document with one value changed, most often one far down."""
    top: Any = [document]
    holder = top
    key: Any = 0
    while isinstance(holder[key], dict | list) and holder[key] and random.random() < 0.85:
        holder = holder[key]
        key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    kind = random.randrange(8)
    value = holder[key]
    if kind == 0 and holder is not top:
        del holder[key]
    elif kind == 1 and isinstance(holder, list) and holder is not top:
        holder.extend([value] * random.choice((1, 2, 50)))
    elif kind == 2 and isinstance(holder, dict):
        holder[random.choice((*WORDS, *list(holder)))] = holder.pop(key)
    elif kind == 3 and isinstance(value, dict):
        value[random.choice(("a", "", "id", "frame", "version"))] = random.choice(VALUES)
    elif kind == 4 and isinstance(value, list):
        value[:] = value[: random.randrange(len(value) + 1)]
    elif kind == 5 and isinstance(value, int | float) and abs(value) < 1e300:
        holder[key] = value * random.choice((-1, 0, 10, 1e6, 1e-6, 1e30))
    else:
        holder[key] = copy.deepcopy(random.choice(VALUES))
    return top[0]


def change_arrays(random: Random, content: bytes) -> bytes:
    """Changes of the arrays of an .npz file, of what their headers say, and sometimes of the archive."""
    chance = random.random()
    if chance < 0.1:
        return change_bytes(random, content)
    if chance < 0.2:
        return change_archive(random, content)
    with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        name = random.choice(list(arrays))
        kind = random.randrange(12)
        if kind == 0 and len(arrays) > 1:
            del arrays[name]
        elif kind == 1:
            arrays[random.choice(("a", "../a", "version", *arrays))] = arrays[name]
        else:
            arrays[name] = _other_array(random, arrays[name])
    result = io.BytesIO()
    (np.savez if random.random() < 0.5 else np.savez_compressed)(result, **arrays)
    return result.getvalue() if random.random() < 0.85 else _with_other_header(random, result.getvalue())


def _other_array(random: Random, array: np.ndarray) -> np.ndarray:
    kind = random.randrange(9)
    if kind == 0:
        return np.asarray(random.choice((*NUMBERS[:-1], *WORDS[:3], True)))
    if kind == 1:
        return array[..., None] if random.random() < 0.5 else array[None]
    if kind == 2 and array.ndim:
        return array[:-1] if random.random() < 0.5 else array[..., :-1]
    if kind == 3:
        return array.T
    if kind == 4:
        return np.zeros(random.choice(((0,), (2, 0), (0, 3), (1, 1, 1, 1), array.shape[1:])))
    with np.errstate(all="ignore"):
        if kind == 5 and array.dtype.kind in "fiub":
            return array.astype(random.choice(("f2", "f4", "f8", "i1", "i8", "u1", "u8", "c8", "U3", "S2", "?")))
        if kind == 6 and array.dtype.kind in "fiu":
            return np.full(array.shape, random.choice(NUMBERS[-8:-1]))
        if array.size and array.dtype.kind in "fiu":
            changed = array.astype(np.float64)
            for _ in range(random.choice((1, 1, array.size // 3 + 1))):
                changed.flat[random.randrange(array.size)] = random.choice(NUMBERS)
            return changed.astype(array.dtype) if random.random() < 0.7 else changed
    return np.concatenate([array.ravel(), array.ravel()])


def _with_other_header(random: Random, content: bytes) -> bytes:
    """An .npz file one of whose arrays says another shape or type."""
    shapes = ("(10000000000,)", "(3000000000, 0)", "(0, 99999999999)", "(-1,)", "()", "(1, 2", "(1.5,)", "(2**70,)")
    types = ("'<f8'", "'|O'", "'<U9999999'", "'|V8'", "[('a', '<f4')]", "'<M8[s]'", "'<U0'", "3")

    def change(member: bytes) -> bytes:
        size = int.from_bytes(member[8:10], "little")
        header = member[10 : 10 + size].decode("latin1").rstrip()
        if random.random() < 0.7:
            header = re.sub(r"\([^)]*\)", random.choice(shapes), header, count=1)
        else:
            header = re.sub(r"'descr': '[^']*'", f"'descr': {random.choice(types)}", header)
        header = header.ljust(size - 1)[: size - 1] + "\n"
        return member[:10] + header.encode("latin1") + member[10 + size :]

    return _with_other_member(random, content, change)


def change_archive(random: Random, content: bytes) -> bytes:
    """Changes of a member of a .zip archive, whose checksum is right again, or of the archive."""
    if random.random() < 0.3:
        return change_bytes(random, content)
    return _with_other_member(random, content, lambda member: change_bytes(random, member))


def _with_other_member(random: Random, content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(result, "w") as other:
        names = archive.namelist()
        chosen = random.choice(names)
        for name in names:
            member = archive.read(name)
            other.writestr(name, change(member) if name == chosen else member)
    return result.getvalue()


def change_tar(random: Random, content: bytes) -> bytes:
    """Changes of a member of a .tar archive, of its header, or of the archive."""
    if random.random() < 0.4:
        return change_bytes(random, content)
    result = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar, tarfile.open(fileobj=result, mode="w") as other:
        members = tar.getmembers()
        chosen = random.randrange(len(members))
        for number, member in enumerate(members):
            file = tar.extractfile(member)
            data = b"" if file is None else file.read()
            if number == chosen:
                kind = random.randrange(4)
                if kind == 0:
                    member.name = random.choice(("../a.npz", "/a.png", member.name[:-4], members[0].name, "x" * 90))
                elif kind == 1:
                    member.type = random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE))
                    member.linkname = random.choice((member.name, "nowhere", "/etc/passwd"))
                else:
                    data = change_bytes(random, data)
            member.size = len(data)
            other.addfile(member, io.BytesIO(data) if member.isfile() else None)
    return result.getvalue()


def change_safetensors(random: Random, content: bytes) -> bytes:
    """Changes of the header of a .safetensors file, or of its bytes."""
    if random.random() < 0.2:
        return change_bytes(random, content)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    about = header.get("__metadata__", {})
    if about and random.random() < 0.6:
        about[random.choice(list(about))] = random.choice(
            ("", "-1", "0", "1.5", "True", "1000000", "9" * 400, "nan", "a\nb", "8192")
        )
        text = json.dumps(header).encode()
    else:
        text = change_json(random, json.dumps(header).encode())
    length = len(text) if random.random() < 0.95 else random.choice(INTEGERS) % 2**64
    return length.to_bytes(8, "little") + text + content[8 + size :]


def change_png(random: Random, content: bytes) -> bytes:
    """Changes of the size and kind of a PNG image, or of its bytes."""
    if random.random() < 0.5:
        return change_bytes(random, content)
    header = bytearray(content[16:29])
    if random.random() < 0.6:
        side = random.choice((0, 1, 9, 12_000, 13_000, 65_535, 2**31 - 1, 2**32 - 1))
        struct.pack_into(">I", header, random.choice((0, 4)), side)
    else:
        header[random.randrange(8, 13)] = random.randrange(17)
    checksum = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return content[:16] + bytes(header) + checksum + content[33:]
