"""One run as a page: what a student sees of a results.json on the platform, pictures included.

The page stands alone, without scripts, and loads nothing. Lines that students don't see are left
out; where one is hidden now, the platform hides the total too.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autograder.rubric.markup import cleaned

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --raised: #f4f6f8; --ink: #1b2129;
  --muted: #525c68; --rule: #d4dae1; --good: #1d6b35; --bad: #a4231a; --link: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --raised: #1d232a; --ink: #e4e9ee;
  --muted: #a5b0bc; --rule: #353e48; --good: #83d19b; --bad: #ff9d93; --link: #86b9f0; }
  img { background: #fff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 52rem; padding: 1rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
a { color: var(--link); }
.total { font-size: 1.25rem; font-weight: 600; margin: .5rem 0; }
.muted { color: var(--muted); }
.said { white-space: pre-wrap; margin: 0; font: inherit; }
.line { border: 1px solid var(--rule); border-left: .3rem solid var(--bad); border-radius: .375rem;
  padding: .7rem .9rem; margin: .7rem 0; scroll-margin-top: .5rem; }
.line.passed { border-left-color: var(--good); }
.line p { margin: .4rem 0; }
.points { font-weight: 400; color: var(--bad); white-space: nowrap; }
.passed .points { color: var(--good); }
.line pre, .staff pre { overflow-x: auto; background: var(--raised); padding: .5rem .7rem;
  border-radius: .375rem; font-size: .8125rem; line-height: 1.4; }
img { max-width: 100%; height: auto; border-radius: .25rem; display: block; }
nav ul { columns: 16rem; list-style: none; padding: 0; margin: .3rem 0; font-size: .925rem; }
nav li { break-inside: avoid; padding: .15rem 0; }
nav li a { display: inline-block; min-height: 1.5rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .8rem .25rem 0; text-align: left; }
.staff { border: 1px dashed var(--muted); border-radius: .375rem; padding: .2rem .9rem .6rem;
  margin-top: 2rem; }
"""
SHOWN = ("visible",)
WHEN = {
    "hidden": "never",
    "after_due_date": "after the due date",
    "after_published": "once grades are published",
}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src \
'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Autograder results</h1>
<p class="muted">{subtitle}</p>
{total}
</header>
<main>
{body}
</main>
</body>
</html>
"""


def page(results: Mapping[str, Any], *, title: str, staff: bool = False) -> str:
    """The page for a results.json.

    title: what was graded
    staff: whether a section at the end says what students don't see
    """
    tests = [test for test in results.get("tests", []) if isinstance(test, dict)]
    shown = [test for test in tests if _visibility(test, results) in SHOWN]
    hidden = [test for test in tests if _visibility(test, results) not in SHOWN]
    blocks = [
        _overall(results),
        _contents("To look at", [test for test in shown if not _passed(test)]),
        _contents("Passed", [test for test in shown if _passed(test)]),
        _leaderboard(results.get("leaderboard", [])),
        "<h2>Line by line</h2>" if shown else "",
        *(_line(test) for test in shown),
        _for_staff(results, hidden) if staff else "",
    ]
    return PAGE.format(
        title=html.escape(f"Autograder results: {title}"),
        style=STYLE,
        subtitle=html.escape(title),
        total=_total(results, tests, hidden),
        body="\n".join(filter(None, blocks)),
    )


def _visibility(test: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    return str(test.get("visibility") or results.get("visibility") or "visible")


def _passed(test: Mapping[str, Any]) -> bool:
    if test.get("status") in ("passed", "failed"):
        return bool(test["status"] == "passed")
    return float(test.get("score", 0)) >= float(test.get("max_score", 0))


def _total(
    results: Mapping[str, Any], tests: Sequence[Mapping[str, Any]], hidden: Sequence[Any]
) -> str:
    if hidden:
        return '<p class="total">The total isn’t shown, as some lines are hidden.</p>'
    score = results.get("score", sum(test.get("score", 0) for test in tests))
    points = sum(test.get("max_score", 0) for test in tests)
    return f'<p class="total">{score:g} of {points:g} points</p>'


def _overall(results: Mapping[str, Any]) -> str:
    return _said(results.get("output", ""), results.get("output_format", "text"))


def _said(output: object, form: object) -> str:
    """An output in its format; one that we don't draw is shown as the text that it is."""
    if not output:
        return ""
    if form == "html":
        return f"<div>{cleaned(str(output))}</div>"
    return f'<p class="said">{html.escape(str(output), quote=False)}</p>'


def _contents(heading: str, tests: Sequence[Mapping[str, Any]]) -> str:
    if not tests:
        return ""
    links = "".join(
        f'<li><a href="#{_id(test)}">{html.escape(str(test.get("name", "")))}</a> '
        f'<span class="muted">({_points(test)})</span></li>'
        for test in tests
    )
    return f'<nav aria-label="{heading}"><h2>{heading}</h2><ul>{links}</ul></nav>'


def _id(test: Mapping[str, Any]) -> str:
    number = str(test.get("number") or test.get("name", ""))
    return "line-" + "".join(sign if sign.isalnum() else "-" for sign in number)


def _points(test: Mapping[str, Any]) -> str:
    return f"{test.get('score', 0):g}/{test.get('max_score', 0):g}"


def _line(test: Mapping[str, Any]) -> str:
    name, points = html.escape(str(test.get("name", ""))), _points(test)
    state = "passed" if _passed(test) else "failed"
    said = _said(test.get("output", ""), test.get("output_format", "text"))
    return (
        f'<section class="line {state}" id="{_id(test)}">'
        f'<h3>{name} <span class="points">({points}, {state})</span></h3>{said}</section>'
    )


def _leaderboard(entries: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{html.escape(str(entry.get("name", "")))}</th>'
        f"<td>{html.escape(str(entry.get('value', '')))}</td></tr>"
        for entry in entries
    )
    return f"<h2>On the leaderboard</h2><table>{rows}</table>" if rows else ""


def _for_staff(results: Mapping[str, Any], hidden: Sequence[Mapping[str, Any]]) -> str:
    """What students don't see: hidden lines, named mistakes, flags, faults."""
    extra = results.get("extra_data", {})
    named = {
        str(test.get("number")): test["extra_data"]["diagnosis"]
        for test in results.get("tests", [])
        if "diagnosis" in test.get("extra_data", {})
    }
    flags = [f"{flag.get('line')}: {flag.get('what')}" for flag in extra.get("flags", [])]
    parts: list[tuple[str, Sequence[object], Callable[[Any], str]]] = [
        ("Known mistakes", list(named.items()), lambda pair: f"{pair[0]}: {pair[1]}"),
        ("For a person", list(extra.get("for_a_person", {}).items()), ": ".join),
        ("Flags", flags, str),
        ("Faults of the grader", list(extra.get("faults", {}).items()), "\n".join),
    ]
    told = "".join(
        f"<h3>{heading}</h3>"
        + "".join(f'<p class="said">{html.escape(tell(one))}</p>' for one in those)
        for heading, those, tell in parts
        if those
    )
    lines = "".join(
        f'<p class="muted">Shown {WHEN.get(shown, "otherwise")}:</p>{_line(test)}'
        for test in hidden
        for shown in (_visibility(test, results),)
    )
    return (
        '<section class="staff"><h2>For staff: students don’t see this</h2>'
        f"{told}{lines}{'' if told or lines else '<p>There is nothing.</p>'}</section>"
    )
