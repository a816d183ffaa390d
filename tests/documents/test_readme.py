"""The README shows the operations that there are, and both READMEs the same commands."""

import re

from taskapi.main import app
from tests.documents.markdown import README, RUSSIAN, blocks, section
from tests.operations import documented


def test_the_russian_readme_has_the_same_examples() -> None:
    text = README.read_text()
    russian = blocks(RUSSIAN.read_text())
    assert russian == blocks(text)[: len(russian)]
    assert len(russian) == len(blocks(text.partition("\n## Endpoints")[0]))


def test_the_readme_lists_every_operation() -> None:
    table = section(README.read_text(), "Endpoints").partition("\n- ")[0]
    named = set(re.findall(r"`([A-Z]+ /[^`]*)`", table))
    assert named == set(documented(app)) | {"GET /docs", "GET /openapi.json"}
