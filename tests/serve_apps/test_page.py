"""The page in a real browser: Debian's Chromium, without a screen and without a network beyond the service."""

from __future__ import annotations

import io
import re
import shutil
import time
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from tests.serve_apps.conftest import KEY

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium"),
]
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser():
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, address):
    """Function that opens the page; in the end nothing beyond the service was asked for, and no script failed."""
    contexts, asked, broken = [], [], []

    def open_page(path="/", script="", **options):
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 640}, **options})
        contexts.append(context)
        context.add_init_script(script)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not broken
    here = f"http://{urlsplit(address).netloc}/"
    assert not [url for url in asked if not url.startswith((here, f"blob:{here}", "data:"))]


def until(page, script):
    """Wait for a script to be true; the page's policy forbids the browser's own way of waiting."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(script):
        assert time.monotonic() < end, script
        page.wait_for_timeout(50)


def state(page):
    return parse_qs(urlsplit(page.url).query)


def picture():
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(5).integers(1, 255, (60, 60), dtype=np.uint8)).save(stream, "PNG")
    return {"name": "mine.png", "mimeType": "image/png", "buffer": stream.getvalue()}


def test_words_find_tiles_and_the_address_keeps_them(opened):
    page = opened()
    expect(page.locator("#status")).to_contain_text("20 tiles")
    page.fill("#text", "ships in a harbour")
    page.keyboard.press("Enter")
    cards = page.locator(".card")
    expect(cards).to_have_count(20)
    assert state(page) == {"q": ["ships in a harbour"]}
    page.click("#filters summary")
    page.check("[name=scales][value=M]")
    expect(cards).to_have_count(2)
    assert state(page)["scales"] == ["M"]
    again = opened("/?" + urlsplit(page.url).query)
    expect(again.locator(".card")).to_have_count(2)
    assert again.input_value("#text") == "ships in a harbour"
    page.go_back()
    expect(cards).to_have_count(20)


def test_an_area_drawn_on_the_map_is_searched_within(opened):
    page = opened("/?q=ships&scales=S")
    expect(page.locator(".card")).to_have_count(16)
    until(page, "knowlipMap.drawn() === 16")
    west, south = page.evaluate("knowlipMap.pixel([-119, 33])")
    east, north = page.evaluate("knowlipMap.pixel([-117, 35])")
    box = page.locator("#map").bounding_box()
    page.click("#draw")
    page.mouse.move(box["x"] + west, box["y"] + south)
    page.mouse.down()
    page.mouse.move(box["x"] + east, box["y"] + north, steps=3)
    page.mouse.up()
    expect(page.locator(".card")).to_have_count(10)
    assert [float(edge) for edge in state(page)["bbox"][0].split(",")] == pytest.approx([-119, 33, -117, 35], abs=0.2)
    page.click("#area-clear")
    expect(page.locator(".card")).to_have_count(16)


@pytest.mark.slow
def test_a_footprint_opens_its_tile(opened):
    page = opened("/?q=ships&scales=L")
    expect(page.locator(".card")).to_have_count(2)
    until(page, "knowlipMap.drawn() === 2")
    x, y = page.evaluate("knowlipMap.pixel([-118.195, 33.805])")
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + x, box["y"] + y)
    expect(page.locator("#tile")).to_be_visible()
    assert state(page)["tile"] == ["los-0000"]


def test_a_tile_is_shown_large_asked_about_and_searched_by(opened):
    page = opened("/?q=ships&scales=M&tile=los-0001")
    expect(page.locator("#tile")).to_be_visible()
    until(page, "document.getElementById('tile-picture').naturalWidth === 64")
    expect(page.locator("#tile-texts dd")).to_have_count(8)
    expect(page.locator("#family button")).to_have_count(11)
    expect(page.locator("#family button").first).to_have_attribute("aria-label", "contains this tile, scale L")
    page.fill("#question", "How many ships?")
    page.fill("#candidates", "one, two, none")
    page.check("[name=attention]")
    page.click("#ask button[type=submit]")
    expect(page.locator("#answer li")).to_have_count(3)
    until(page, "!document.getElementById('heat').hidden")
    shades = page.evaluate(
        "(() => { const c = document.getElementById('heat');"
        " return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size; })()"
    )
    assert shades > 3
    page.locator("#family button").first.click()
    expect(page.locator("#tile-facts")).to_contain_text("scale L")
    page.click("#more-like")
    expect(page.locator("#tile")).to_be_hidden()
    expect(page.locator("#likeness")).to_be_visible()
    assert state(page) == {"like": ["los-0000"], "scales": ["M"]}
    expect(page.locator(".card")).to_have_count(2)


def test_what_comes_late_is_not_shown_under_another_tile(opened):
    page = opened("/?q=ships&scales=M")
    held = []
    late = re.compile(r"/v1/vqa$|los-0001/family$")
    page.route(late, lambda route: held.append(route))
    page.locator(".card[data-id=los-0001]").click()
    page.fill("#question", "How many ships?")
    page.check("[name=attention]")
    page.click("#ask button[type=submit]")
    expect(page.locator("#answer")).to_have_text("Thinking …")
    page.keyboard.press("Escape")
    page.locator(".card[data-id=san-0001]").click()
    expect(page.locator("#family button")).to_have_count(7)
    expect(page.locator("#answer")).to_be_empty()
    expect(page.locator("#ask button[type=submit]")).to_be_enabled()
    assert len(held) == 2
    for route in held:
        with page.expect_response(late):
            route.continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#answer")).to_be_empty()
    expect(page.locator("#heat")).to_be_hidden()
    expect(page.locator("#family button")).to_have_count(7)


def test_a_browser_without_a_map_searches_all_the_same(opened):
    script = (
        "const context = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        "  return /webgl/.test(kind) ? null : context.call(this, kind, ...more); };"
    )
    page = opened("/?q=ships&scales=S&bbox=-99,33,-98,34", script)
    expect(page.locator("#map")).to_contain_text("no WebGL")
    expect(page.locator(".card")).to_have_count(6)
    page.click("#area-clear")
    expect(page.locator(".card")).to_have_count(16)
    assert "bbox" not in state(page)
    page.click("#filters summary")
    page.click("#filters-clear")
    expect(page.locator(".card")).to_have_count(20)


def test_an_upload_is_searched_by_and_asked_about(opened):
    page = opened()
    expect(page.locator("#status")).to_contain_text("tiles")
    page.set_input_files("#by-image", files=[picture()])
    expect(page.locator(".card")).to_have_count(20)
    expect(page.locator("#likeness-name")).to_have_text("mine.png")
    page.set_input_files("#ask-image", files=[picture()])
    expect(page.locator("#tile-title")).to_have_text("mine.png")
    expect(page.locator("#family-section")).to_be_hidden()
    page.fill("#question", "Is there water?")
    page.click("#ask button[type=submit]")
    expect(page.locator("#answer")).to_contain_text("confidence")


def test_errors_are_shown_in_words(opened):
    page = opened("/?q=ships&bbox=5,0,1,1")
    expect(page.locator("#error")).to_contain_text("bbox: is inverted")
    page.set_input_files("#ask-image", files=[{"name": "a.png", "mimeType": "image/png", "buffer": b"no image"}])
    page.fill("#question", "What?")
    page.click("#ask button[type=submit]")
    expect(page.locator("#ask-error")).to_contain_text("neither PNG nor JPEG nor TIFF")


@pytest.mark.slow
def test_the_keyboard_is_enough(opened):
    page = opened()
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("oil tanks")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(20)
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".card").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#tile")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#tile")).to_be_hidden()
    expect(page.locator(".card").nth(1)).to_be_focused()
    assert "tile" not in state(page)


@pytest.mark.slow
def test_it_fits_a_phone(opened):
    page = opened("/?q=ships", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page.locator(".card").first.tap()
    expect(page.locator("#tile")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate(
        "(() => { const d = document.getElementById('tile'); return d.scrollWidth <= d.clientWidth; })()"
    )


@pytest.mark.slow
def test_a_key_is_asked_for_and_kept_by_the_tab(opened):
    page = opened("/keys/")
    page.fill("#key", KEY)
    page.click("#key-form button")
    expect(page.locator("#status")).to_contain_text("20 tiles")
    expect(page.locator("#ask-image")).to_be_hidden()
    page.reload()
    expect(page.locator("#status")).to_contain_text("20 tiles")
    expect(page.locator("#key-dialog")).to_be_hidden()


@pytest.mark.slow
def test_the_documentation_needs_no_network(opened):
    page = opened("/docs")
    expect(page.locator("#operations-search-search_v1_search_post")).to_be_visible()
