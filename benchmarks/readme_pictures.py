"""Draws the README's pictures of a study: the terminal, two parts of its page, attention maps.

Usage: python benchmarks/readme_pictures.py [--study DIR] [--out DIR]     (default: runs/study, docs)

Needs Debian's packages chromium and chromium-driver. The study is the demo's, on the sample data that it has
drawn:

    python run_study.py tune --data-dir runs/demo_data --study runs/study --space demo
    python run_study.py confirm --study runs/study --top 3 --seeds 3
    python run_study.py evaluate --study runs/study --rerank --baseline
    python run_study.py visualize --study runs/study
    python run_study.py report --study runs/study
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sa_study.report.terminal.study_panel import StudyPanel
from sa_study.report.verdict import headline
from sa_study.study.summary import StudySummary

WIDTH, HEIGHT = 1265, 1200
COLUMNS = 100
ATTENTION_WIDTH = 1000

TOP = "return [0, arguments[0]]"
TRUST = """
const section = document.getElementById('trust'), final = document.getElementById('final');
const top = section.getBoundingClientRect().top + scrollY;
return [top, (final || section.nextElementSibling).getBoundingClientRect().top + scrollY - top];
"""
DRAWN = "return !document.querySelector('.plot:not([data-drawn])')"


@contextmanager
def browser() -> Iterator[Any]:
    options: Any = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(word)
    options.add_argument(f"--window-size={WIDTH},{HEIGHT}")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def photograph(driver: Any, script: str, target: Path, width: int = WIDTH) -> None:
    """Writes the strip of the open page whose top and height a script returns."""
    top, height = driver.execute_script(script, HEIGHT)
    clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    save(Image.open(io.BytesIO(base64.b64decode(shot["data"]))), target)


def save(picture: Image.Image, target: Path) -> None:
    """Writes a picture with a palette, which keeps it small."""
    picture.convert("RGB").quantize(256).save(target, optimize=True)
    print(f"{target}: {picture.width}×{picture.height}, {target.stat().st_size // 1024} KiB")


def terminal(study: Path) -> str:
    """What `status` shows of a study, as SVG."""
    summary = StudySummary.read(study)
    console = Console(record=True, file=io.StringIO(), force_terminal=True, width=COLUMNS)
    console.print(StudyPanel.of(summary, str(study)))
    console.print()
    console.print(headline(summary), style="bold", highlight=False)
    return console.export_svg(title=f"python run_study.py status --study {study}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", type=Path, default=Path("runs/study"), help="folder of the study")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the pictures")
    given = parser.parse_args()
    study, folder = given.study, given.out
    with browser() as driver, tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "terminal.html"
        page.write_text(f"<body style='margin:0'>{terminal(study)}</body>")
        driver.get(page.as_uri())
        box = driver.execute_script("return document.querySelector('svg').viewBox.baseVal")
        svg = f"document.querySelector('svg').style.width = '{box['width']}px'; return [0, {box['height']}]"
        photograph(driver, svg, folder / "terminal.png", width=box["width"])
        driver.get((study / "report.html").absolute().as_uri())
        WebDriverWait(driver, 60).until(lambda it: it.execute_script(DRAWN))
        photograph(driver, TOP, folder / "page.png")
        photograph(driver, TRUST, folder / "trust.png")
    attention = Image.open(study / "pictures" / "attention_stages.png")
    height = round(attention.height * ATTENTION_WIDTH / attention.width)
    save(attention.resize((ATTENTION_WIDTH, height), Image.Resampling.LANCZOS), folder / "attention.png")


if __name__ == "__main__":
    main()
