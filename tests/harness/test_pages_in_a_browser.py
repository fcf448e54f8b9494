"""The pages in a browser: they load nothing, say nothing, sort, filter, and can be used by all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autograder.rubric import preview
from autograder.staff.classroom.report import write_report

from .conftest import LONG
from .made_class import made_class, results

pytest.importorskip("playwright", reason="playwright is not installed: ./setup.sh --dev")
axe_package = pytest.importorskip(
    "axe_playwright_python", reason="axe-core is not installed: ./setup.sh --dev"
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt install chromium"),
    pytest.mark.xdist_group("one browser"),
]

COUNT = 16  # submissions
PHONE, DESK = (390, 844), (1280, 900)
AXE = "axe.run().then(found => found.violations.map(one => [one.id, one.nodes[0].html]))"
COLUMN = "(rows, column) => rows.map(row => row.cells[column].textContent)"


@dataclass
class Opened:
    """A page in the browser, what it said, and what it asked for beside itself."""

    page: object
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser):
    contexts = []

    def open_(file: Path, size=DESK, scheme="light", script=True, for_axe=False) -> Opened:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            java_script_enabled=script,
            bypass_csp=for_axe,
        )
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda problem: found.said.append(str(problem)))
        found.page.on("dialog", lambda dialog: found.said.append(dialog.message))
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.goto(file.as_uri())
        return found

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    entries = made_class(COUNT)
    write_report(entries, folder / "class")
    write_report(entries, folder / "anonymous", anonymous=True)
    write_report([], folder / "nobody")
    run = results({"3a.4": 0.0}, {"3a.4": "no-scale"}, faults={"1a.1": "KeyError"})
    run["tests"][0] |= {"output": "<p><b>No</b></p><pre>a b</pre>", "output_format": "html"}
    run["tests"][1] |= {"output": "<img src=x onerror=alert(1)>", "output_format": "html"}
    (folder / "run.html").write_text(preview.page(run, title="a run"), encoding="utf-8")
    (folder / "staff.html").write_text(preview.page(run, title="a", staff=True), encoding="utf-8")
    reports = {name: folder / name / "report.html" for name in ("class", "anonymous", "nobody")}
    return {**reports, "run": folder / "run.html", "staff": folder / "staff.html"}


SIZES = {"phone": PHONE, "desk": DESK}
USUAL = {("class", "phone", "dark"), ("run", "desk", "light")}
VIEWS = [
    pytest.param(
        *(name, SIZES[size], scheme),
        id=f"{name}-{size}-{scheme}",
        marks=() if (name, size, scheme) in USUAL else LONG,
    )
    for name in ("class", "anonymous", "nobody", "run", "staff")
    for size in SIZES
    for scheme in ("light", "dark")
]


@pytest.mark.parametrize(("name", "size", "scheme"), VIEWS)
def test_a_page_is_accessible_fits_and_asks_for_nothing(name, size, scheme, pages, opened):
    quiet = opened(pages[name], size, scheme)
    assert quiet.said == []
    assert quiet.asked == [pages[name].as_uri()]
    assert quiet.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    checked = opened(pages[name], size, scheme, for_axe=True)
    checked.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    axe = Path(axe_package.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    checked.page.evaluate(axe)
    assert checked.page.evaluate(AXE) == []


def test_axe_finds_what_is_wrong(tmp_path, opened):
    file = tmp_path / "wrong.html"
    file.write_text("<!DOCTYPE html><html><title>x</title><img src='data:,'><p>x</p></html>")
    found = opened(file, for_axe=True)
    axe = Path(axe_package.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    found.page.evaluate(axe)
    assert {"html-has-lang", "image-alt"} <= {name for name, _ in found.page.evaluate(AXE)}


def column(page, section: str, place: int, shown: str = "") -> list[str]:
    rows = f"#{section} tbody tr{shown}"
    return page.eval_on_selector_all(rows, COLUMN, place)


def test_a_column_of_numbers_sorts_both_ways_with_what_isnt_known_at_the_end(pages, opened):
    found = opened(pages["class"])
    head = found.page.locator("#all thead th").nth(1)
    for direction in ("ascending", "descending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == direction
        shown = column(found.page, "all", 1)
        assert shown[-1] == "–"
        numbers = [float(text) for text in shown[:-1]]
        assert len(set(numbers)) > 5
        assert numbers == sorted(numbers, reverse=direction == "descending")
    assert len(shown) == COUNT
    assert found.said == []


def test_a_column_of_texts_sorts_by_the_keyboard_and_one_column_at_a_time(pages, opened):
    found = opened(pages["class"])
    heads = found.page.locator("#lines thead th")
    heads.nth(1).get_by_role("button").press("Enter")
    titles = column(found.page, "lines", 1)
    assert titles[0].startswith("Attention head")
    heads.nth(0).get_by_role("button").press("Space")
    assert heads.nth(1).get_attribute("aria-sort") is None
    numbers = column(found.page, "lines", 0)
    assert numbers == sorted(numbers)


def test_rows_are_filtered_by_all_words_in_any_case_and_counted(pages, opened):
    found = opened(pages["class"])
    box = found.page.locator("#lines").get_by_label("Filter lines")
    box.fill("HEAD  scaled")
    assert column(found.page, "lines", 0, ":not([hidden])") == ["3a.4"]
    assert found.page.locator("#lines output").inner_text() == "1 of 36 rows"
    box.fill("")
    assert len(column(found.page, "lines", 0, ":not([hidden])")) == 36


def test_without_its_script_the_report_has_plain_tables(pages, opened):
    found = opened(pages["class"], script=False)
    assert found.page.locator("button, input").count() == 0
    assert found.page.locator("#all tbody tr").count() == COUNT
    assert found.page.locator("#all thead th").first.inner_text() == "submission"
