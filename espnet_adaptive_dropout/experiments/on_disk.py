"""A sequence that lies in a temporary file, so that memory does not grow with it."""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Sequence
from typing import Any

import torch


class OnDisk(Sequence[Any]):
    """Objects that hold tensors; each is read from the file when it is asked for.

    Modules in the objects stay in memory: what is read refers to the same ones. The
    file has no name and goes with this object. It lies where Python puts temporary
    files (``TMPDIR``).
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()
        self._spans: list[tuple[int, int]] = []
        self._modules: list[torch.nn.Module] = []

    def append(self, item: Any) -> None:
        """Write an object behind the others.

        Args:
            item: tensors on the CPU, modules and plain values in any nesting.

        Raises:
            OSError: there is no room for it.
        """
        buffer = io.BytesIO()
        _Pickler(buffer, self._modules).dump(item)
        start = self._file.seek(0, io.SEEK_END)
        self._file.write(buffer.getbuffer())
        self._spans.append((start, buffer.tell()))

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: Any) -> Any:
        start, size = self._spans[index]
        self._file.seek(start)
        return _Unpickler(io.BytesIO(self._file.read(size)), self._modules).load()


class _Pickler(pickle.Pickler):
    """Writes modules as their number in a list, and of a view what it shows alone."""

    def __init__(self, file: io.BytesIO, modules: list[torch.nn.Module]):
        super().__init__(file, protocol=5)
        self.modules = modules

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, torch.nn.Module):
            return None
        for number, module in enumerate(self.modules):
            if module is obj:
                return number
        self.modules.append(obj)
        return len(self.modules) - 1

    def reducer_override(self, obj: Any) -> Any:
        if not torch.is_tensor(obj):
            return NotImplemented
        return torch.from_numpy, (obj.detach().contiguous().numpy(),)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, modules: list[torch.nn.Module]):
        super().__init__(file)
        self.modules = modules

    def persistent_load(self, pid: int) -> torch.nn.Module:
        return self.modules[pid]
