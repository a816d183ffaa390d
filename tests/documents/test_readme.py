"""The README shows the operations that there are, and both READMEs the same commands."""

import re

from taskapi.main import app
from tests.documents.markdown import README, RUSSIAN, blocks, section
from tests.operations import documented


def test_the_russian_readme_shows_the_same_commands_and_answers() -> None:
    text = README.read_text()
    russian = blocks(RUSSIAN.read_text())
    assert russian == blocks(text)[: len(russian)]
    assert len(russian) == len(blocks(text.partition("\n## Endpoints")[0]))


def test_every_operation_and_no_other_is_in_the_readme() -> None:
    table = section(README.read_text(), "Endpoints").partition("\n- ")[0]
    named = set(re.findall(r"`([A-Z]+ /[^`]*)`", table))
    assert named == set(documented(app)) | {"GET /docs", "GET /openapi.json"}
