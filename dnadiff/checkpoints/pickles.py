r"""Files that ``torch.save`` wrote, read without trusting them.

Such a file is a zip archive: ``data.pkl`` describes the objects, ``data/KEY`` holds the numbers of a tensor. A pickle
is a program that may call anything it names, so nothing it names is looked up here: **every** class or function becomes
a ``Stub`` that only keeps what it was given. There is no list of trusted callables, because there is nothing to trust.
The names are interpreted afterwards, as data: the ones that stand for a tensor are rebuilt here, with their bounds
checked, and all others are whatever the reader makes of them.

PyTorch's own restricted loader does call what its list allows, and refuses a file with any other name in it, which
every checkpoint with a pickled configuration or tokenizer has.
"""

import io
import math
import pickle
import pickletools
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dnadiff.errors import InputError

LARGEST = 2**28  # bytes of a description; those of published checkpoints have a few millions at most
DEEPEST = 1000  # tuples in tuples; Python hashes a key that is one without minding the end of its stack

_DTYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
}
_TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_PARAMETERS = ("torch._utils._rebuild_parameter",)
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT")
_RECALL = ("GET", "BINGET", "LONG_BINGET")
_NESTS = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
_MARK = pickletools.markobject
_EFFECTS = {  # whether a code takes all above the mark, what it takes below it, and what it leaves
    code.name: (
        _MARK in code.stack_before,
        code.stack_before.index(_MARK) if _MARK in code.stack_before else len(code.stack_before),
        len(code.stack_after),
    )
    for code in pickletools.opcodes
}
_EXTENSIONS = ("EXT1", "EXT2", "EXT4")


class Stub:
    """What a pickle says of an object of a class that is not looked up.

    Attributes:
        path: Module and name of its class or of the function that makes it.
        args: What that was called with.
        state: What it was told to be afterwards.
        items: Its items if it is a mapping.
        elements: Its elements if it is a list or a set.
    """

    path = ""

    def __new__(cls, *args: object, **_: object) -> "Stub":
        """A stub of these arguments; nothing is called."""
        self = object.__new__(cls)
        self.args, self.state, self.items, self.elements = args, None, {}, []
        return self

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        self.items[key] = value

    def __call__(self, *args: object) -> "Stub":
        """Another stub: a pickle may call what it has just made."""
        return type(self)(self, *args)

    def append(self, element: object) -> None:
        """Keeps an element."""
        self.elements.append(element)

    def extend(self, elements: list[object]) -> None:
        """Keeps elements."""
        self.elements.extend(elements)

    def add(self, element: object) -> None:
        """Keeps an element of a set."""
        self.elements.append(element)


@dataclass(frozen=True)
class Storage:
    """Where the numbers of a tensor lie.

    Attributes:
        kind: Module and name of the storage's class.
        key: Name in the archive.
        size: How many numbers it holds.
    """

    kind: str
    key: str
    size: int

    def __setstate__(self, state: object) -> None:
        """Refuses a pickle that gives it other attributes."""
        raise pickle.UnpicklingError("a storage that is changed")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[Stub]:
        return type("Stub", (Stub,), {"path": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Storage:  # noqa: ANN401 (whatever the file says)
        tag, kind, key, _, size = pid
        if tag != "storage" or not isinstance(kind, type) or type(key) is not str or type(size) is not int:
            raise pickle.UnpicklingError("an external object that is no storage")
        return Storage(kind.path, key, size)


class Archive:
    """A file that ``torch.save`` wrote.

    Args:
        path: The file.

    Attributes:
        root: What was saved: plain values, ``Stub`` and ``Storage``.

    Raises:
        InputError: It is no such file, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise self._refusal(error) from error
        self._names = frozenset(self._zip.namelist())
        found = [name for name in self._names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(found) != 1:
            raise self._refusal("it holds no data.pkl")
        self._folder = found[0].partition("/")[0]
        if self._has("byteorder") and self._read("byteorder", 16) != b"little":
            raise self._refusal("its byte order is not little-endian")
        self.root = self._unpickled(self._read("data.pkl", LARGEST))

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def is_tensor(self, value: object) -> bool:
        """Whether a part of ``root`` stands for a tensor."""
        return isinstance(value, Stub) and value.path in (*_TENSORS, *_PARAMETERS)

    def tensor(self, value: object) -> Tensor:
        """The float32 tensor that a part of ``root`` stands for.

        Raises:
            InputError: It is none of floating type, or reaches beyond its numbers.
        """
        if isinstance(value, Stub) and value.path in _PARAMETERS and value.args:
            return self.tensor(value.args[0])
        if not (isinstance(value, Stub) and value.path in _TENSORS and len(value.args) >= 4):
            raise self._refusal(f"a tensor was expected and {described(value)} found")
        storage, offset, size, stride = value.args[:4]
        whole = _all_whole(size) and _all_whole(stride) and _all_whole((offset,)) and len(size) == len(stride)
        if not (isinstance(storage, Storage) and whole):
            raise self._refusal("a tensor has no valid shape")
        if storage.kind not in _DTYPES:
            raise self._refusal(f"weights are {storage.kind}; floating types would work")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if math.prod(size) > storage.size or (math.prod(size) and last >= storage.size):
            raise self._refusal("a tensor reaches beyond its numbers")
        if max((offset, *size, *stride)) > sys.maxsize:  # of dimensions that are one or none long
            raise self._refusal("a tensor reaches beyond its numbers")
        return (
            self._numbers(storage).as_strided(size, stride, offset).float().clone(memory_format=torch.contiguous_format)
        )

    def _numbers(self, storage: Storage) -> Tensor:
        dtype = _DTYPES[storage.kind]
        data = self._read(f"data/{storage.key}", storage.size * dtype.itemsize)
        if len(data) != storage.size * dtype.itemsize:
            raise self._refusal(f"data/{storage.key} has another length than it should")
        return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)

    def _has(self, name: str) -> bool:
        return f"{self._folder}/{name}" in self._names

    def _read(self, name: str, most: int) -> bytes:
        """The bytes of a member; refuses compressed ones, whose size says nothing, and longer ones."""
        if not self._has(name):
            raise self._refusal(f"it lacks {name}")
        info = self._zip.getinfo(f"{self._folder}/{name}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
            raise self._refusal(f"{name} is compressed or too long")
        try:
            return self._zip.read(info)
        except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
            raise self._refusal(error) from error

    def _unpickled(self, data: bytes) -> Any:  # noqa: ANN401 (whatever the file says)
        try:
            _check(data)
            return _Unpickler(io.BytesIO(data)).load()
        except Exception as error:  # a foreign program ends in whatever way it likes
            raise self._refusal(error) from error

    def _refusal(self, reason: object) -> InputError:
        first = (str(reason).splitlines() or [type(reason).__name__])[0]
        return InputError(f"{self.path}: is no checkpoint that torch.save wrote whole ({first}); a .ckpt or .bin works")


def mapping(value: object) -> Mapping[Any, Any]:
    """The items of a dictionary, pickled as itself or as a kind of its own such as OrderedDict; empty for others."""
    if isinstance(value, Mapping):
        return value
    return value.items if isinstance(value, Stub) else {}


def state(value: object) -> Mapping[Any, Any]:
    """The attributes that a pickled object was given, by name; empty if there are none."""
    found = value.state if isinstance(value, Stub) else None
    parts = found if isinstance(found, tuple) else (found,)  # (attributes, slots) or attributes
    return {name: item for part in parts if isinstance(part, Mapping) for name, item in part.items()}


def described(value: object) -> str:
    """What a part of a pickle is, in a word for messages."""
    return value.path if isinstance(value, Stub) else type(value).__name__


def _all_whole(numbers: object) -> bool:
    return isinstance(numbers, tuple) and all(type(n) is int and n >= 0 for n in numbers)


def _check(data: bytes) -> None:
    """Refuses a pickle that would take memory, objects or depth that its reader does not mind.

    It follows how deep what lies on the stack and in the memo is nested, and makes nothing.

    Raises:
        pickle.UnpicklingError: It would.
        IndexError: It takes more from the stack than lies there.
    """
    stack: list[int | None] = []  # depths; None is the mark
    memo: dict[int, int | None] = {}
    for code, argument, _ in pickletools.genops(data):
        name = code.name
        if (name in _MEMO and int(argument) > len(data)) or name in _EXTENSIONS:
            raise pickle.UnpicklingError(f"a forbidden {name}")
        if name in _RECALL:
            stack.append(memo.get(int(argument)))
        elif name in _MEMO or name == "MEMOIZE":
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            marked, fixed, made = _EFFECTS[name]
            depth = 0
            while marked and (top := stack.pop()) is not None:
                depth = max(depth, top)
            for _ in range(fixed):
                depth = max(depth, stack.pop() or 0)
            depth += name in _NESTS
            if depth > DEEPEST:
                raise pickle.UnpicklingError("it is nested too deep")
            stack += [depth] * made if name != "MARK" else [None]
