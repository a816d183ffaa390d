"""Strip a `uv.lock` of everything that ties it to one package registry.

Reads the lock from standard input and writes the stripped lock to standard output, which is the
interface of a git clean filter (gitattributes(5)). Names, versions, markers, file names and
hashes stay; registry addresses, sizes and upload times go, and so does the project's own metadata,
without which uv resolves anew, keeps the locked versions and fills the addresses in from whatever
index it is configured with. uv lists the same resolution markers in a different order when it
starts from a lock; they are sorted, so that stripping any of its locks gives the same bytes.
"""

import re
import sys

RULES = (
    (r'url = "[^"]*/([^"/]+)"', r'filename = "\1"'),
    (r'registry = "[^"]*"', 'registry = "."'),
    (r', (?:size = \d+|upload-time = "[^"]*")', ""),
    (r"\n\[package\.metadata(?:\.requires-dev)?\]\n(?:[^\[\n].*\n)*", ""),
)


def sort_markers(block: re.Match[str]) -> str:
    return block[1] + "".join(sorted(block[2].splitlines(keepends=True)))


lock = sys.stdin.buffer.read().decode()
for pattern, replacement in RULES:
    lock = re.sub(pattern, replacement, lock)
lock = re.sub(r"(resolution-markers = \[\n)((?: .*\n)+)", sort_markers, lock)
sys.stdout.buffer.write(lock.encode())
