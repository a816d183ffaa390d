import re

from tests.server import ROOT


def test_the_document_lists_every_experiment() -> None:
    named = set(re.findall(r"`(test_\w+)\.py`", (ROOT / "docs/reliability.md").read_text()))
    files = {path.stem for path in (ROOT / "tests" / "faults").glob("test_*.py")}
    assert named == files - {"test_document"}
