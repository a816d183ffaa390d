import re
from pathlib import Path
from textwrap import dedent

from tests.tools.failover.cluster import POLICY

DOCUMENT = Path(__file__).parents[2] / "docs" / "high-availability.md"


def test_the_documented_patroni_configuration_is_the_tested_one() -> None:
    found = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found
    shown = dedent(found[1].rstrip(" ")).splitlines()
    assert len(shown) > 10
    assert set(shown) <= set(POLICY.read_text().splitlines())
