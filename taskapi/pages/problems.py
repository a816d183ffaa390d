"""The pages that the `type` of problems leads to (RFC 9457, section 3.1.1), and their index."""

import json
import re
import tomllib
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from taskapi.exceptions import PROBLEMS
from taskapi.http.problem_details import ProblemKind, example
from taskapi.pages.content import Content

STATIC = Path(__file__).parents[1] / "static"

LANGUAGES = ("en", "ru")


class Texts(NamedTuple):
    title: str
    description: str
    advice: str


@cache
def problem_page(slug: str, language: str) -> Content:
    kind = PROBLEMS[slug]
    words = _words()[language]
    texts = _texts(kind, language)
    request = _words()["requests"][slug].strip()
    answer = json.dumps(example(kind), indent=2)
    main = f"""\
<h1><span class="status">{kind.status}</span>{escape(texts.title)}</h1>
<h2>{words["description"]}</h2>
<p>{_html(texts.description)}</p>
<h2>{words["advice"]}</h2>
<p>{_html(texts.advice)}</p>
<h2>{words["request"]}</h2>
<pre><code>{escape(request)}</code></pre>
<h2>{words["answer"]}</h2>
<pre lang="en"><code>{escape(answer)}</code></pre>"""
    return _page(language, texts.title, main, up="../")


@cache
def index_page(language: str) -> Content:
    words = _words()[language]
    items = []
    for kind in sorted(PROBLEMS.values(), key=lambda kind: kind.status):
        texts = _texts(kind, language)
        items.append(f"""\
<li>
  <span class="status">{kind.status}</span><a href="problems/{kind.slug}">{escape(texts.title)}</a>
  <p>{_html(texts.description)}</p>
</li>
""")
    main = f"""\
<h1>{words["index"]}</h1>
<p>{_html(words["index_text"])}</p>
<ul>
{"".join(items)}</ul>"""
    return _page(language, words["index"], main, up="")


def _page(language: str, title: str, main: str, up: str) -> Content:
    """`up` leads from the page to the root path."""
    layout = Template((STATIC / "problems.html").read_text("utf-8"))
    words = {name: _words()[language][name] for name in ("docs", "index")}
    page = layout.substitute(words, language=language, title=escape(title), main=main, up=up)
    return Content(page.encode(), "text/html", language)


def _texts(kind: ProblemKind, language: str) -> Texts:
    if language == "en":
        return Texts(kind.title, kind.description, kind.advice)
    return Texts(**_words()[language]["problems"][kind.slug])


def _html(text: str) -> str:
    """Text in backticks becomes code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads((STATIC / "problems.toml").read_text("utf-8"))
