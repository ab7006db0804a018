"""The study page in a real Chromium: Debian's packages chromium and chromium-driver."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from random_study import HOSTILE, make_study
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sa_study.report.page.render import write_comparison, write_page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SECTIONS = ["verdict", "trust", "leaderboard", "history", "curves", "parallel", "importance"]
SECTIONS += ["slices", "model", "timeline", "pictures", "settings", "provenance", "rerun"]
STUDIES: dict[str, dict[str, Any]] = {
    "none": {"count": 0},
    "one": {"count": 1},
    "forty": {"count": 40, "running": 2},
    "many": {"count": 500, "running": 3},
    "failed": {"count": 6, "failed_only": True},
    "hostile": {"count": 30, "hostile": HOSTILE},
    "front": {"count": 20, "minimize": "cost"},
}


class Browser:
    """Chromium, with what its console said and what it asked the network for."""

    def __init__(self, profile: Path):
        options: Any = Options()
        options.binary_location = CHROMIUM or ""
        for word in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--window-size=1280,900",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver: Any = webdriver.Chrome(options=options, service=Service(DRIVER))
        count = "window.drawnAtFirst = document.querySelectorAll('.plot[data-drawn]').length"
        count = f"addEventListener('DOMContentLoaded', () => {{ {count} }})"
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": count})

    def open(self, page: Path, *, dark: bool = False, width: int = 1280) -> None:
        """Opens a page and waits until it can be read."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # a page that glides cannot be clicked
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(page.as_uri())
        timing = "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
        self.wait(lambda: self.run(timing) > 0)

    def run(self, script: str, *words: Any) -> Any:
        return self.driver.execute_script(script, *words)

    def wait(self, until: Callable[[], Any], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.05)

    def wait_for_figures(self) -> None:
        self.wait(lambda: self.run("return !document.querySelector('.plot:not([data-drawn])')"))

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for, but for the page itself and what lies in it."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not CHROMIUM or not DRIVER:
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the page of one of the studies, once."""
    folder, made = tmp_path_factory.mktemp("pages"), dict[str, Path]()

    def write(name: str) -> Path:
        if name not in made:
            root = make_study(folder / name, **STUDIES[name])
            if name == "forty":
                (root / "pictures").mkdir()
                noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
                Image.fromarray(noise).save(root / "pictures" / "ranked_best.png")
            made[name], _ = write_page(root, None)
        return made[name]

    return write


@pytest.fixture(scope="module", params=STUDIES)
def opened(request: pytest.FixtureRequest, browser: Browser, page: Callable[[str], Path]) -> str:
    """Opens a study's page; pytest runs the tests of one page one after the other, in their order here."""
    browser.open(page(request.param))
    return str(request.param)


forty_opened = pytest.mark.parametrize("opened", ["forty"], indirect=True)


def test_the_page_opens_whole_and_alone(browser: Browser, page: Callable[[str], Path], opened: str) -> None:
    path = page(opened)
    assert browser.run("return window.drawnAtFirst") == 0, "it can be read before any plot is drawn"
    assert path.stat().st_size < 8e6
    assert browser.run("return [...document.querySelectorAll('main > section')].map(s => s.id)") == SECTIONS
    browser.wait_for_figures()
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.run("return window.hacked") is None
    rows = STUDIES[opened]["count"]
    assert browser.run("return document.querySelectorAll('#trials tbody tr').length") == rows
    assert browser.run("return document.querySelectorAll('img[src=x], .plot svg a, .plot img').length") == 0
    if rows > 10:
        assert browser.run("return document.querySelectorAll('.plot .main-svg').length") > 10


def column(browser: Browser, index: int) -> list[str]:
    script = """return [...document.querySelectorAll('#trials tbody tr')].map(
        row => row.cells[arguments[0]].dataset.v ?? row.cells[arguments[0]].innerText)"""
    return list(browser.run(script, index))


@forty_opened
def test_sorting_by_click_and_by_keyboard(browser: Browser, opened: str) -> None:
    heads = browser.driver.find_elements(By.CSS_SELECTOR, "#trials th[scope=col]")
    names = [head.text.strip(" ↓↑") for head in heads]
    lr = names.index("lr")
    assert heads[names.index("mAP")].get_attribute("aria-sort") == "descending"
    button = heads[lr].find_element(By.TAG_NAME, "button")
    button.click()
    assert heads[lr].get_attribute("aria-sort") == "descending"
    assert heads[names.index("mAP")].get_attribute("aria-sort") is None
    values = [float(value) for value in column(browser, lr)]
    assert values == sorted(values, reverse=True)
    button.send_keys(Keys.ENTER)
    assert [float(value) for value in column(browser, lr)] == sorted(values)
    button.send_keys(Keys.SPACE)
    assert heads[lr].get_attribute("aria-sort") == "descending"
    heads[0].find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert column(browser, 0) == [str(number) for number in range(40)]
    scores = names.index("mAP")
    for _ in range(2):
        heads[scores].find_element(By.TAG_NAME, "button").click()
    missing = [value == "" for value in column(browser, scores)]
    assert missing == sorted(missing), "trials without a score stay last"
    heads[names.index("attention")].find_element(By.TAG_NAME, "button").click()
    texts = column(browser, names.index("attention"))
    assert texts == sorted(texts)
    browser.driver.find_element(By.CSS_SELECTOR, "input[data-state=PRUNED]").click()
    assert browser.run("return [...document.querySelectorAll('tr[data-state=PRUNED]')].every(r => r.hidden)")


@pytest.mark.parametrize("opened", ["forty", "hostile"], indirect=True)
def test_hovering_tells_of_a_trial(browser: Browser, opened: str) -> None:
    browser.wait_for_figures()
    plot = browser.driver.find_element(By.ID, "plot-history")
    browser.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
    point = plot.find_element(By.CSS_SELECTOR, ".scatterlayer .trace:last-child .point")
    ActionChains(browser.driver).move_to_element(point).perform()
    browser.wait(lambda: browser.run("return document.querySelector('#plot-history .hovertext')"))
    text = browser.run("return document.querySelector('#plot-history .hovertext').textContent")
    assert "trial" in text and "dropout" in text
    if opened == "hostile":
        assert "<script>window.hacked=1</script>" in text
    assert browser.run("return window.hacked") is None


@forty_opened
def test_a_box_picks_trials_out(browser: Browser, opened: str) -> None:
    browser.wait_for_figures()
    plot = browser.driver.find_element(By.ID, "plot-parallel")
    browser.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
    drag = browser.driver.find_element(By.CSS_SELECTOR, "#plot-parallel .nsewdrag")
    width, height = drag.size["width"], drag.size["height"]
    mouse = ActionChains(browser.driver)
    mouse.move_to_element_with_offset(drag, int(width * 0.4), int(-height * 0.47))
    mouse.click_and_hold().move_by_offset(int(width * 0.09), int(height * 0.3)).release().perform()
    browser.wait(lambda: plot.get_attribute("data-picked"))
    picked = [int(word) for word in str(plot.get_attribute("data-picked")).split()]
    scores = {row[0]: row[1] for row in zip(column(browser, 0), column(browser, 2), strict=True)}
    chosen = [float(scores[str(number)]) for number in picked]
    others = [float(v) for n, v in scores.items() if v and int(n) not in picked]
    assert picked and min(chosen) > max(others), "the box lay over the best scores"


@forty_opened
def test_dark_light_and_printed(browser: Browser, page: Callable[[str], Path], opened: str) -> None:
    """The last of the tests of this page: it opens it anew."""
    background = "return getComputedStyle(document.body).backgroundColor"
    line = "return document.querySelector('#plot-timeline .barlayer .point path')?.style.fill"

    def brightness() -> int:
        return sum(int(part) for part in browser.run(background).strip("rgb()").split(","))

    browser.wait_for_figures()
    light = browser.run(line)
    assert brightness() > 700
    browser.open(page("forty"), dark=True)
    browser.wait_for_figures()
    assert brightness() < 120 and browser.run(line) != light
    printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 50_000
    assert browser.complaints() == []
    browser.driver.find_element(By.ID, "theme").click()
    assert brightness() > 700
    browser.wait(lambda: browser.run(line) == light)
    browser.driver.refresh()
    assert brightness() > 700, "the choice is kept"
    browser.run("localStorage.clear()")


def headless(page: Path, folder: Path) -> tuple[str, bytes]:
    """What Chromium copies and prints by itself: nobody scrolls, and it waits for the load event alone."""
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        f"--user-data-dir={folder / 'profile'}",
        "--dump-dom",
        f"--print-to-pdf={folder / 'page.pdf'}",
    ]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, check=True, timeout=120)
    return done.stdout.decode(), (folder / "page.pdf").read_bytes()


@pytest.mark.usefixtures("browser")
def test_a_copy_and_a_print_that_nobody_scrolled_have_every_plot(
    page: Callable[[str], Path], tmp_path: Path
) -> None:
    """Counts the lines that are printed: plots have thousands, the rest of the page has hundreds."""
    path = page("forty")
    plots = path.read_text().count('class="plot"')
    (tmp_path / "without").mkdir()
    copy, printed = headless(path, tmp_path)
    assert copy.count('data-drawn="yes"') == plots == 8
    assert copy.count('class="main-svg"') >= 2 * plots
    without = tmp_path / "without.html"
    without.write_text(path.read_text().replace('class="plot"', 'class="no-plot"'))
    counts = lines_in(printed), lines_in(headless(without, tmp_path / "without")[1])
    assert counts[0] > 4 * counts[1], counts


def lines_in(pdf: bytes) -> int:
    """Number of lines and curves that a PDF file draws."""
    count = 0
    for start in re.finditer(rb"stream\r?\n", pdf):
        with contextlib.suppress(zlib.error):
            count += len(re.findall(rb" [lc]\n", zlib.decompressobj().decompress(pdf[start.end() :])))
    return count


def test_the_page_of_several_studies(browser: Browser, page: Callable[[str], Path], tmp_path: Path) -> None:
    """One of them is empty, and one has other images and a hostile name."""
    roots = [page(name).parent for name in ("forty", "front", "none")]
    hostile = tmp_path / "<img src=x onerror=window.hacked=1>"
    shutil.copytree(roots[0], hostile)
    (hostile / "provenance.json").write_text(json.dumps({"data_fingerprint": "other", "launches": []}))
    path, _ = write_comparison([*roots, hostile], tmp_path / "comparison.html")
    browser.open(path)
    assert browser.run("return window.drawnAtFirst") == 0, "it can be read before any plot is drawn"
    assert path.stat().st_size < 8e6
    browser.wait_for_figures()
    assert browser.run("return document.querySelectorAll('.plot .main-svg').length") > 3
    browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert browser.complaints() == []
    browser.open(path, width=390, dark=True)
    browser.wait_for_figures()
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    assert browser.complaints() == [] and browser.requests() == []
    assert browser.run("return window.hacked") is None


def test_the_keyboard_reaches_everything(browser: Browser, page: Callable[[str], Path]) -> None:
    browser.open(page("forty"))
    ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    assert browser.run("return document.activeElement.className") == "skip"
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") != "none"
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    assert browser.run("return location.hash") == "#verdict"
    kinds = ".board, .scroll[role], .copy, .zoom, #theme, th button"
    unreached = f"return [...document.querySelectorAll('{kinds}')].filter(e => e.tabIndex < 0).length"
    assert browser.run(unreached) == 0
    picture = browser.driver.find_element(By.CSS_SELECTOR, ".zoom")
    picture.send_keys(Keys.ENTER)
    assert browser.run("return document.getElementById('enlarged').open")
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.wait(lambda: not browser.run("return document.getElementById('enlarged').open"))


def test_on_a_narrow_screen(browser: Browser, page: Callable[[str], Path]) -> None:
    browser.open(page("forty"), width=390)
    browser.wait_for_figures()
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    assert browser.complaints() == []
