from pathlib import Path

import pytest

from taskapi.security import processors


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host with 16 processors, and its control groups."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "OWN_CGROUPS", tmp_path / "own")
    return tmp_path


def write(folder: Path, own: str, files: dict[str, str]) -> None:
    (folder / "own").write_text(own)
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


V1 = "cpu,cpuacct"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "damaged\n"}, 16),
        ("0::/\n", {}, 16),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        (
            f"5:memory:/x\n4:{V1}:/x\n0::/\n",
            {f"{V1}/cpu.cfs_quota_us": "400000\n", f"{V1}/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            f"4:{V1}:/x\n",
            {f"{V1}/x/cpu.cfs_quota_us": "-1\n", f"{V1}/x/cpu.cfs_period_us": "100000\n"},
            16,
        ),
    ],
)
def test_the_quota_of_the_cgroups_counts(
    host: Path, own: str, files: dict[str, str], expected: int
) -> None:
    write(host, own, files)
    assert processors.available_processors() == expected


def test_the_affinity_counts(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not (host / "own").exists()
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5})
    assert processors.available_processors() == 2
