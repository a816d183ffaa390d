"""Run the parts of CI that standard input names in lanes, and print how long each took.

Each line is a name and a command. The output of a part is printed when it has ended. The exit code
is that of the first part that failed, or 0.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

LANES = 5  # for two processors, as the long parts wait for half of their time


@dataclass
class Result:
    name: str
    code: int
    seconds: float
    output: str

    def __str__(self) -> str:
        ended = f"FAILED with {self.code}" if self.code else "passed"
        return f"{self.name:<12}{self.seconds:5.0f} s  {ended}"


def run(part: str) -> Result:
    name, _, command = part.partition(": ")
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 -- the commands are those of .ci/parts
        ["bash", "-c", command],  # noqa: S607 -- any bash
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Result(name, done.returncode, time.monotonic() - began, done.stdout)


def main() -> None:
    began = time.monotonic()
    results = []
    with ThreadPoolExecutor(LANES) as lanes:
        for ended in as_completed(
            [lanes.submit(run, part) for part in sys.stdin.read().splitlines()]
        ):
            result = ended.result()
            results.append(result)
            print(f"=== {result}\n{result.output}", flush=True)
    print("=== all parts:", *results, sep="\n")
    print(f"{'together':<12}{time.monotonic() - began:5.0f} s", flush=True)
    sys.exit(next((result.code for result in results if result.code), 0))


main()
