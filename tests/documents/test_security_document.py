import re

from tests.server import ROOT


def test_named_tests_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/security.md").read_text()))
    files = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    existing = {name for text in files for name in re.findall(r"def (test_\w+)", text)}
    assert named - existing == set()
    assert len(named) > 40
