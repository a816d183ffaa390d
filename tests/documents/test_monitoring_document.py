"""docs/monitoring.md describes every metric and every cause."""

import re

from tests.documents.markdown import section
from tests.server import ROOT
from tests.unit.imports import FILES

DOCUMENT = (ROOT / "docs/monitoring.md").read_text()
CODE = "\n".join(path.read_text() for path in FILES)


def test_every_metric_is_described() -> None:
    described = re.findall(r"(?m)^\| `(taskapi\.[a-z.]+)` \|", section(DOCUMENT, "Metrics"))
    assert sorted(described) == sorted(re.findall(r'^ +"(taskapi\.[a-z.]+)",$', CODE, re.MULTILINE))


def test_queries_name_metrics_that_are_described() -> None:
    described = {
        name.replace(".", "_") for name in re.findall(r"`((?:taskapi|http)\.[a-z._]+)`", DOCUMENT)
    }
    queries = DOCUMENT.partition("\n## Graphs\n")[2]
    named = re.findall(
        r"((?:taskapi|http_server)_\w+?)(?:_seconds)?(?:_bucket|_count|_total)", queries
    )
    assert len(named) == 8
    assert set(named) <= described


def test_every_cause_is_described() -> None:
    rows = re.findall(r"(?m)^\| (429|503) \| (`[^|]+`) \|", DOCUMENT)
    described = {
        (status, cause) for status, causes in rows for cause in re.findall("`(.+?)`", causes)
    }
    causes = {("503", cause) for cause in re.findall(r'cause="([\w-]+)"', CODE)}
    limits = {("429", kind) for kind in re.findall(r'Throttle\(limiter, "([\w-]+)"', CODE)}
    assert described == causes | limits
