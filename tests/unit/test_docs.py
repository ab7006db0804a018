"""The documents: their links, commands, options, pinned versions, files and examples exist."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT
from typer.main import get_command

from sa_study.cli import app
from sa_study.data.dataset_list import read_list
from sa_study.settings.run import Settings
from sa_study.settings.space_file import load_space

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
MAX_README_WORDS = 1200
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
FOLDERS = ("sa_study", "tests", "benchmarks", "search_spaces", "deploy", "docs")
PROGRAM: Any = get_command(app)


def blocks(page: Path, language: str) -> list[str]:
    """Returns a page's code blocks in a language."""
    return re.findall(rf"^ *(?:\d\. )?```{language}\n(.*?)^ *```", page.read_text(), re.M | re.S)


def inline_code(page: Path) -> list[str]:
    """Returns the code within a page's sentences, each on one line."""
    text = re.sub(r"^ *(?:\d\. )?```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
    return [" ".join(code.split()) for code in CODE.findall(text)]


def shell_lines(page: Path) -> Iterator[list[str]]:
    """Yields the words of each command in a page's shell blocks, environment variables left out."""
    for line in "\n".join(blocks(page, "sh")).replace("\\\n", " ").replace('"', " ").splitlines():
        for command in re.split(r"&&|;| -- ", line.partition(" #")[0]):
            words = shlex.split(command, comments=True)
            while words and re.match(r"\w+=", words[0]):
                words = words[1:]
            if words:
                yield words


def subcommand(words: list[str]) -> tuple[Any, list[str]]:
    """Splits off the command's name: the command, and its options and arguments."""
    command = PROGRAM
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no such command: {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def check_values(words: list[str]) -> None:
    """Fails on a search space that does not exist and on a setting that is none."""
    for option, value in itertools.pairwise(words):
        if option == "--space":
            load_space(Path(value))
        if option == "--set":
            assert value.partition("=")[0] in {field.name for field in dataclasses.fields(Settings)}, value


def check_program(words: list[str]) -> None:
    """Fails unless the program accepts the command line: names, required options, types and ranges."""
    command, options = subcommand(words)
    if command is PROGRAM:
        command.make_parser(command.make_context("", [], resilient_parsing=True)).parse_args(options)
    elif "--help" not in options:
        command.make_context(command.name, list(options))
    check_values(options)


def check_benchmark(script: str, words: list[str]) -> None:
    """Fails unless the benchmark exists and has the options."""
    sources = [(ROOT / path).read_text() for path in (script, "benchmarks/harness.py")]
    for word in words:
        if word.startswith("--"):
            assert any(f'add_argument("{word}"' in re.sub(r"\(\s+", "(", text) for text in sources), word


def check_command(words: list[str]) -> None:
    """Fails unless a command line of the documents could be run here."""
    if "run_study.py" in words:
        check_program(words[words.index("run_study.py") + 1 :])
    elif words[0] == "sa-study":
        check_program(words[1 : words.index(">") if ">" in words else None])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M), words
    elif words[0] == "python" and words[1].startswith("benchmarks/"):
        check_benchmark(words[1], words[2:])
    for word in words:
        if word.startswith((*(f"{folder}/" for folder in FOLDERS), "requirements")):
            assert (ROOT / word).exists(), word


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


LINES = [
    pytest.param(words, id=f"{by_name(page)}: {' '.join(words)}")
    for page in PAGES
    for words in shell_lines(page)
]


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        path, _, heading = link.partition("#")
        if "://" not in link:
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not heading or heading in anchors(target), link


@pytest.mark.parametrize("words", LINES)
def test_commands_are_accepted(words: list[str]) -> None:
    check_command(words)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_code_in_sentences_is_right(page: Path) -> None:
    """Command lines, options, files and pinned versions that sentences name."""
    commands = [PROGRAM.commands[name] for name in PROGRAM.commands]
    commands += PROGRAM.commands["data"].commands.values()
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    known.update(["--help", *(option for parameter in PROGRAM.params for option in parameter.opts)])
    pinned = "\n".join(path.read_text() for path in ROOT.glob("requirements*.txt"))
    for code in inline_code(page):
        words = code.split()
        if code.startswith(("python ", "make ", "sa-study ")):
            check_command(shlex.split(code))
        elif words[0] in PROGRAM.commands:
            command, options = subcommand(words)
            context = command.make_context(command.name, [], resilient_parsing=True)
            command.make_parser(context).parse_args(options)
            check_values(options)
        elif re.match(r"--[a-z]", code) and page.parent.name != "deploy":
            assert words[0] in known, code
            check_values(words)
        elif re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./-]*", code) and not re.search("[A-Z]{2}", code):
            assert (ROOT / code).exists(), code
        for name, version in re.findall(r"([\w-]+)(?:\[\w+\])?==([\d.]+)", code):
            assert re.search(rf"^{name}(\[\w+\])?=={re.escape(version)}$", pinned, re.M), code


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_examples_are_right(page: Path, tmp_path: Path) -> None:
    """Search spaces and lists of images load; what Python examples import exists."""
    for number, text in enumerate(blocks(page, "yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        load_space(path)
    for number, text in enumerate(blocks(page, "csv")):
        path = tmp_path / f"{number}.csv"
        path.write_text(text)
        assert all(folder.records for folder in read_list(path).values())
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sa_study"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), text


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= MAX_README_WORDS
