"""What a power failure may leave of the files in a folder, from a trace of the calls of a process.

What was synchronized is there. Each sector that was written since may be there or not, and so may
each name that was made or removed before its folder was synchronized.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,"
    "sync_file_range,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,"
    "copy_file_range,sendfile,sendto,recvfrom"
)
UNKNOWN = {
    *("creat", "writev", "pwritev", "pwritev2", "truncate", "fallocate", "rename", "renameat"),
    *("renameat2", "linkat", "symlink", "symlinkat", "unlinkat", "mkdir"),
    *("copy_file_range", "sendfile"),
}
"""Calls that this does not understand, and that change nothing in the folder."""

COMPLETE = re.compile(r"(\d+) +(\w+)\((.*)\) += (\?|-?\d+).*")
UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (\?|-?\d+).*")
TEXT = re.compile(r'["<]((?:\\x[0-9a-f]{2})*)[">]')

SECTORS = (512, 4096)

ALL, NONE, ORDERED, SEPARATE = "all", "none", "in order", "separately"
MODES = (ALL, NONE, ORDERED, ORDERED, SEPARATE, SEPARATE, SEPARATE)
"""What is left of what was not synchronized: a beginning, or anything."""


def tracer(output: Path) -> list[str]:
    """Return a command that runs another one, whose process id it takes."""
    options = ["-D", "-f", "-y", "-xx", "--seccomp-bpf", "-s", "1000000", "-e", f"trace={CALLS}"]
    return ["strace", *options, "-o", str(output)]


@dataclass
class Call:
    thread: str
    name: str
    arguments: str = field(repr=False)
    began: int
    """The number of the line in which the call begins. It may end in a later one, `ended`."""
    ended: int = 0
    result: int = -1

    @property
    def texts(self) -> list[bytes]:
        """Strings, and the paths of descriptors."""
        return [bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(self.arguments)]

    @property
    def numbers(self) -> list[int]:
        """Those after the last string or path."""
        return [int(number) for number in re.findall(r"\d+", TEXT.split(self.arguments)[-1])]


def read_trace(file: Path) -> list[Call]:
    calls, unfinished = list[Call](), dict[str, Call]()
    for number, line in enumerate(file.read_text().splitlines()):
        if match := UNFINISHED.fullmatch(line):
            thread, name, arguments = match.groups()
            unfinished[thread] = Call(thread, name, arguments, number)
            calls.append(unfinished[thread])
        elif match := RESUMED.fullmatch(line):
            thread, _, rest, result = match.groups()
            call = unfinished.pop(thread)
            call.arguments += rest
            call.ended, call.result = number, int(result) if result != "?" else -1
        elif match := COMPLETE.fullmatch(line):
            thread, name, arguments, result = match.groups()
            calls.append(
                Call(thread, name, arguments, number, number, int(result.strip("?") or -1))
            )
    return [call for call in calls if call.result >= 0]


def moments(calls: list[Call]) -> Iterator[tuple[int, bool, Call]]:
    """When calls begin and when they end, in order."""
    began = ((call.began, False, call) for call in calls)
    ended = ((call.ended, True, call) for call in calls)
    return iter(sorted(chain(began, ended), key=lambda moment: moment[:2]))


@dataclass(eq=False)
class Change:
    """What a call changed, and is not synchronized."""

    call: Call
    file: "File | None" = None
    """Which content is changed, or a name is given to."""
    name: str = ""
    """Which name is made, or removed."""
    offset: int = 0
    data: bytes | None = None
    """What is written; none sets the size."""


@dataclass(eq=False)
class File:
    content: bytearray = field(default_factory=bytearray)
    """What is synchronized."""
    size: int = 0
    """With all changes."""


@dataclass
class Disk:
    folder: Path
    names: dict[str, File] = field(default_factory=dict)
    """With all changes."""
    durable_names: dict[str, File] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    _to_sync: dict[int, list[Change]] = field(default_factory=dict)

    def add(self, path: Path) -> None:
        """A file that was there before, and is synchronized."""
        content = bytearray(path.read_bytes())
        self.names[path.name] = self.durable_names[path.name] = File(content, len(content))

    def concerns(self, call: Call) -> bool:
        return self._name(call) is not None

    def see(self, call: Call, *, ended: bool) -> None:
        """Names change when the call ends, contents when it begins."""
        if call.name in {"sendto", "recvfrom"}:
            return
        name = self._name(call)
        if call.name in {"fsync", "fdatasync"}:
            self._synchronize(call, name, ended=ended)
        elif call.name in UNKNOWN:
            assert all(self._inside(text) is None for text in call.texts), call
        elif name and ended:
            self._change_names(call, name)
        elif name in self.names:
            self._change_content(call, self.names[name])

    def _name(self, call: Call) -> str | None:
        texts = call.texts[1:] if call.name == "openat" else call.texts
        return self._inside(texts[0]) if texts else None

    def _inside(self, text: bytes) -> str | None:
        """Return the name of a file in the folder, or "." for the folder itself.

        SQLite's index of the log is left out, for it is written through memory.
        """
        if b":[" in text:  # a socket or a pipe
            return None
        path = self.folder / text.decode(errors="replace")
        if path == self.folder:
            return "."
        followed = path.parent == self.folder and not path.name.endswith((".log", "-shm"))
        return path.name if followed else None

    def _change_names(self, call: Call, name: str) -> None:
        if call.name == "openat":
            assert "O_TRUNC" not in call.arguments, call
            if "O_CREAT" in call.arguments and name not in self.names:
                self.names[name] = File()
                self.pending.append(Change(call, self.names[name], name))
        elif call.name == "link":
            new = self._inside(call.texts[1])
            assert new, call
            self.names[new] = self.names[name]
            self.pending.append(Change(call, self.names[name], new))
        elif call.name == "unlink":
            del self.names[name]
            self.pending.append(Change(call, name=name))

    def _change_content(self, call: Call, file: File) -> None:
        if call.name == "ftruncate":
            file.size = call.numbers[-1]
            self.pending.append(Change(call, file, offset=file.size))
        elif call.name in {"write", "pwrite64"}:
            offset = file.size if call.name == "write" else call.numbers[-1]
            data = call.texts[1][: call.result]
            file.size = max(file.size, offset + len(data))
            self.pending.append(Change(call, file, offset=offset, data=data))

    def _synchronize(self, call: Call, name: str | None, *, ended: bool) -> None:
        """Only what was done before it began."""
        if not ended:
            file = self.names.get(name or "")
            self._to_sync[id(call)] = [
                change
                for change in self.pending
                if change.call.ended < call.began
                and (bool(change.name) if name == "." else change.file is file and not change.name)
            ]
            return
        for change in self._to_sync.pop(id(call)):
            if change in self.pending:
                self.pending.remove(change)
                apply(change, self.durable_names, {})

    def leave(self, folder: Path, chance: random.Random) -> None:
        """Write what a power failure at this moment may leave."""
        mode, sector = chance.choice(MODES), chance.choice(SECTORS)
        parts = [part for change in self.pending for part in split(change, sector)]
        if mode == NONE:
            parts = []
        elif mode == ORDERED:
            parts = parts[: chance.randint(0, len(parts))]
        elif mode == SEPARATE:
            share = chance.choice([0.1, 0.5, 0.9])
            parts = [part for part in parts if chance.random() < share]
        names = dict(self.durable_names)
        contents = {id(file): bytearray(file.content) for file in self._files()}
        for part in parts:
            apply(part, names, contents)
        for name, file in names.items():
            content = contents[id(file)]
            if mode == SEPARATE and chance.random() < 0.5:  # the size is there before the data
                content.extend(bytes(max(0, file.size - len(content))))
            (folder / name).write_bytes(content)
            if name.endswith("-wal") and chance.random() < 0.5:
                (folder / f"{name.removesuffix('wal')}shm").write_bytes(chance.randbytes(32768))

    def _files(self) -> list[File]:
        pending = [change.file for change in self.pending if change.file]
        return [*self.durable_names.values(), *pending]


def split(change: Change, sector: int) -> Iterator[Change]:
    """Return the sectors that are written, or the change itself if it writes no data."""
    if change.data is None:
        yield change
        return
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, (start // sector + 1) * sector)
        data = change.data[start - change.offset : stop - change.offset]
        yield Change(change.call, change.file, offset=start, data=data)
        start = stop


def apply(change: Change, names: dict[str, File], contents: dict[int, bytearray]) -> None:
    """Contents that are not given are changed in the files themselves."""
    if change.name:
        if change.file:
            names[change.name] = change.file
        else:
            names.pop(change.name, None)
        return
    assert change.file
    content = contents.get(id(change.file), change.file.content)
    end = change.offset + len(change.data or b"")
    content.extend(bytes(max(0, end - len(content))))
    if change.data is None:
        del content[change.offset :]
    else:
        content[change.offset : end] = change.data
