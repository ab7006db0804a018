"""Where no cache can be written, what Matplotlib and fontconfig say of it stays off the terminal."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sa_study.utils.files import silent_stderr

# Not even root can make a folder there.
NOWHERE = "/proc/no-home"
HOMELESS = {
    "HOME": NOWHERE,
    "XDG_CACHE_HOME": NOWHERE,
    "XDG_CONFIG_HOME": NOWHERE,
    "FONTCONFIG_FILE": NOWHERE,
}


@pytest.mark.parametrize("more", [{}, {"MPLCONFIGDIR": NOWHERE}], ids=["home", "MPLCONFIGDIR"])
def test_pictures_without_a_writable_home(tmp_path: Path, more: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"}
    environment |= {**HOMELESS, **more, "TMPDIR": str(tmp_path)}

    def talk(module: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout + done.stderr

    assert "temporary cache directory" in talk("matplotlib.font_manager"), "there is nothing to keep out"
    assert talk("sa_study.report.pictures.make") == ""


def test_an_import_that_fails_is_still_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talks.py").write_text("import os, sys\nsys.stderr.write('a')\nos.write(2, b'b')\n1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError), silent_stderr():
        importlib.import_module("talks")
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "after\n"
