"""The evaluation report in a real browser: on a phone and on a desk, light, dark and on paper."""

from collections.abc import Iterator

import numpy as np
import pytest

from browser.chromium import Chromium, Page, find_chromium
from pageflip.events.metrics import event_metrics
from pageflip.events.timeline import Timeline
from pageflip.reports.videos_page import write_videos_report
from report_factory import PROTOCOLS, write

PHONE, DESK = 360, 1280
PAPER = 718  # CSS pixels of A4 between its margins
WIDER_THAN_THE_PAGE = """[...document.querySelectorAll('body *')].filter(element =>
    element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5
    && !element.closest('.scroll')).map(element => element.outerHTML.slice(0, 90))"""
BROKEN_PICTURES = """Promise.all([...document.images].map(image =>
    image.decode().then(() => image.naturalWidth > 0, () => false))).then(all => all.filter(good => !good).length)"""
DEAD_ANCHORS = """[...document.querySelectorAll('a')].map(link => link.getAttribute('href')).filter(target =>
    !document.querySelector(target))"""

THINNEST_BAND = """Math.min(...[...document.querySelectorAll('.timeline .event')].map(band =>
    band.getBoundingClientRect().width))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no Chromium here (install it, or name its program in CHROMIUM)")
    chromium = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with every part, long names and a hostile one."""
    folder = tmp_path_factory.mktemp("report")
    evidence = {row: np.linspace(-1, 1, 12).reshape(4, 3) for row in range(72)}
    long = "a_name_without_any_place_to_break_it_" * 4

    def rename(test):
        return test.assign(clip=test["clip"] + long, book="<b>" + long)

    facts = {"Data": {"data version": "0123456789abcdef" * 4}, "Training": {f"fit.{long}{n}": 0.1 for n in range(20)}}
    write(folder, change=rename, protocols=PROTOCOLS, maps=evidence, facts=facts)
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module", params=[PHONE, DESK])
def page(request: pytest.FixtureRequest, browser: Chromium, address: str) -> Page:
    return browser.open(address, width=request.param, mobile=request.param == PHONE)


def test_nothing_is_wider_than_the_screen_light_or_dark(page):
    for scheme in ("light", "dark"):
        page.media(scheme=scheme)
        fits_with_all_details_open(page)
    page.media()


def test_nothing_is_wider_than_paper(browser, address):
    page = browser.open(address, width=PAPER)
    page.media(medium="print", scheme="dark")
    fits_with_all_details_open(page)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def fits_with_all_details_open(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 3
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate(WIDER_THAN_THE_PAGE) == []


def test_the_page_asks_for_nothing_but_itself_and_the_console_stays_empty(page, address):
    assert [asked for asked in page.asked_for if not asked.startswith("data:")] == [address]
    assert page.complaints == []


def test_all_pictures_decode_and_all_anchors_lead_somewhere(page):
    assert page.evaluate("document.images.length") == 10
    assert page.evaluate(BROKEN_PICTURES) == 0
    assert page.evaluate(DEAD_ANCHORS) == []
    page.evaluate("document.querySelector('nav a[href=\"#mistakes\"]').click()")
    top = page.evaluate("document.getElementById('mistakes').getBoundingClientRect().top")
    assert -1 <= top <= 60


def test_a_tap_lays_the_evidence_over_the_pictures_on_a_phone_and_a_desk_shows_both(page):
    shown = "getComputedStyle(document.querySelector('.map')).opacity"
    if page.evaluate("innerWidth") == PHONE:
        assert page.evaluate(shown) == "0"
        page.evaluate("document.querySelector('label[for=maps]').click()")
    assert page.evaluate(shown) == "1"


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_of_labelled_videos_fits_the_screen(browser, tmp_path, width):
    name, times = "<b>a_video_of_a_long_name_" * 6, np.arange(3000) / 30
    events = tuple((float(second), second + 0.6) for second in range(1, 99, 3))
    lines = [Timeline(name, times, np.sin(times) ** 2, events, events[:20])] * 2
    scores = event_metrics([events] * 2, [events[:20]] * 2)
    row = {"video": name, "frames": 3000, "f1": 0.5, "n_true": 33, "n_found": 20, "n_matched": 20}
    result = {"model": name, "version": None, "threshold": 0.5, "stills": None, "videos": [row] * 2}
    result["frames"] = {way: {"f1": 0.9, "precision": 0.9, "recall": 0.9} for way in ("alone", "in_sequence")}
    write_videos_report(tmp_path, result | {"finders": {"decoder": scores, "median": scores}}, lines)
    page = browser.open((tmp_path / "report.html").as_uri(), width=width, mobile=width == PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate(WIDER_THAN_THE_PAGE) == []
    assert page.evaluate("document.querySelectorAll('.strip').length") == 10
    strip = page.evaluate("document.querySelector('.strip svg').getBoundingClientRect().width")
    assert strip > 0.65 * page.evaluate("innerWidth")
    assert page.evaluate(THINNEST_BAND) > 2
    assert page.complaints == []


def test_dark_and_light_differ_and_are_readable(page):
    colours = "['background-color', 'color'].map(name => getComputedStyle(document.body).getPropertyValue(name))"
    seen = {}
    for scheme in ("light", "dark"):
        page.media(scheme=scheme)
        seen[scheme] = [_brightness(colour) for colour in page.evaluate(colours)]
    page.media()
    assert seen["light"][0] - seen["light"][1] > 150
    assert seen["dark"][1] - seen["dark"][0] > 150


def _brightness(colour: str) -> float:
    return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3
