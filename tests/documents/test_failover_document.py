import re
from pathlib import Path
from textwrap import dedent

from tests.tools.failover.cluster import PARAMETERS, POLICY

DOCUMENT = Path(__file__).parents[2] / "docs" / "high-availability.md"


def test_the_documented_patroni_configuration_is_the_tested_one() -> None:
    found = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found
    shown = dedent(found[1].rstrip(" ")).splitlines()
    assert len(shown) > 10
    assert set(shown) <= set(POLICY.read_text().splitlines())


def test_the_documented_url_has_the_tested_parameters() -> None:
    assert f"taskapi?{PARAMETERS}'" in DOCUMENT.read_text()
