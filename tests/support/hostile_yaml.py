"""Hostile YAML: search spaces, settings files and `--set`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hostile import SPECIAL, Case, Place, Words, cases_of, pipe, put

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)
)
SEARCHED = ("parts", "epochs", "num_features", "step_epochs")
WHEN = ", ".join(f"{name}: [{', '.join(map(str, range(1, 25)))}]" for name in SEARCHED)
EXPLOSION = (
    "".join(f"  {name}: {{type: int, low: 1, high: 24}}\n" for name in SEARCHED)
    + f"  lr: {{type: float, low: 0.1, high: 1, when: {{{WHEN}}}}}\n"
    + f"  dropout: {{type: float, low: 0, high: 0.5, when: {{{WHEN}}}}}\n"
    + "baseline: {parts: 6, epochs: 20, num_features: 20, step_epochs: 20}\n"
)
STEPS = "search: {{lr: {{type: float, low: 0.1, high: 1, step: {}}}}}\n"

SPACES = [
    ("aliases that grow to billions", "search: {lr: {type: categorical, choices: *a39}}\n", "alias"),
    ("an alias bomb as a value", BOMB + "trials: *a39\n", ("alias", "20000")),
    ("a list that holds itself", "search: &a [*a]\n", "holds itself"),
    ("10 MB", "# " + "x" * 10_000_000 + "\ntrials: 3\n", "bytes"),
    ("nested 100,000 deep, in brackets", "search: " + "[" * 100_000, "nested"),
    ("nested 200 deep, by indenting", "".join(" " * i + "a:\n" for i in range(200)), "nested"),
    ("a key twice", "trials: 3\nfixed: {depth: 18}\ntrials: 4\n", ("'trials'", "twice", "line 3")),
    ("a setting twice", "fixed:\n  depth: 18\n  lr: 0.1\n  depth: 34\n", ("'depth'", "twice", "line 4")),
    ("tabs for indenting", "fixed:\n\tdepth: 18\n", ("YAML", "\\t")),
    ("a byte-order mark", "\ufefftrials: 3\n", "nowhere"),
    ("lines that end as on Windows", "trials: 3\r\nfixed:\r\n  depth: 18\r\n", "nowhere"),
    ("keys merged from an anchor", "fixed: {<<: {depth: 18}, lr: 0.1}\n", "nowhere"),
    ("an object of Python", "trials: !!python/object/apply:os.system [touch ran]\n", "python/object"),
    ("a name of Python", "trials: !!python/name:os.system\n", "python/name"),
    ("a set", "search: {lr: !!set {a, b}}\n", "search.lr"),
    ("bytes", "fixed: {pretrained: !!binary aGFsbG8=}\n", ("pretrained", "b'hallo'")),
    ("not a number", "search: {lr: {type: float, low: .nan, high: 1}}\n", ("lr", "nan")),
    ("infinity", "search: {lr: {type: float, low: 0.1, high: .inf}}\n", ("lr", "inf")),
    ("a number of 5,000 digits", f"trials: {'9' * 5000}\n", "5000 characters"),
    ("a number of 4,000 hexadecimal digits", f"trials: 0x{'f' * 4000}\n", "4002 characters"),
    ("a number to the base 60", f"trials: 1{':1' * 5000}\n", "characters"),
    ("a number beyond every float", f"trials: {'9' * 99}\n", "trials"),
    ("a negative number of trials", "trials: -5\n", ("trials", "-5")),
    ("a key that is a number", "1: 2\n", ("'1'", "no text")),
    ("a key that is true", "fixed: {yes: 1}\n", ("'yes'", "no text")),
    ("a key that is nothing", "fixed: {~: 1}\n", "no text"),
    ("a key that is a list", "? [a, b]\n: 1\n", "a list or mapping"),
    ("terminal sequences in a key", '"\\e[31mlr\\a\\e]0;x\\a": 1\n', ("unknown key", "\\x1b")),
    ("UTF-16", "trials: 3\n".encode("utf-16"), "YAML"),
    ("Latin-1", "# café\ntrials: 3\n".encode("latin-1"), "YAML"),
    ("zero bytes", b"trials: 3\n\0\0\0", "YAML"),
    ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "YAML"),
    ("nothing", "", "NoneType"),
    ("a list", "- trials\n", "list"),
    ("two documents", "trials: 3\n---\ntrials: 4\n", ("YAML", "document")),
    ("conditions that multiply", "search:\n" + EXPLOSION, ("search", "conditions")),
    ("a grid of 10^9", "sampler: grid\n" + STEPS.format("1.0e-9"), "grid"),
    ("steps that are smaller than all", STEPS.format("1.0e-320"), "step"),
]
UNREADABLE = [(name, make, words if words == "denied" else "") for name, make, words in SPECIAL]
"""Of the other ones the line says that there is no such file."""

CONFIGS = [
    ("an alias bomb as a setting", BOMB + "depth: *a39\n", ("config.yaml", "alias")),
    ("a setting twice, the last one harmless", "depth: 18\ndepth: 50\n", ("'depth'", "line 2")),
    ("a structure where a number belongs", "depth: {a: [1, 2, {b: 3}]}\n", "depth"),
    ("a link for weights", "pretrained: https://me:s3cretpw@host/x.pth\n", ("pretrained", "local copy")),
    ("a path with a zero byte", 'pretrained: "a\\0b"\n', "pretrained"),
    ("a height beyond all memory", "height: 1000000000\n", ("height", "1000000000")),
]
OPTIONS = [
    ("--set with an alias bomb", "--set depth=[&a [1,1,1,1], &b [*a,*a,*a], [*b,*b,*b]]", "--set depth"),
    ("--set with an object of Python", "--set depth=!!python/object/apply:os.system [touch ran]",
     "python/object"),
    ("--set nested 10,000 deep", "--set depth=" + "[" * 10_000, "nested"),
    ("--set with a token in it", "--set pretrained=https://me:s3cretpw@host/x", ("pretrained", "***")),
    ("--trials beyond every float", "--trials 1" + "0" * 400, "trials"),
    ("--epoch-budget beyond every float", "--epoch-budget -1" + "0" * 400, "epoch"),
    ("--seed of 5,000 digits", "--seed " + "9" * 5000, "--seed"),
    ("--time-budget without end", "--time-budget " + "9" * 400 + "h", "--time-budget"),
    ("--time-budget in other digits", "--time-budget ٣h", "--time-budget"),
    ("--metric with a terminal's commands", "--metric \x1b]0;owned\x07", ("--metric", "\\x1b")),
    ("--address with a token", "--address me:s3cretpw@127.0.0.1:6379", "--address"),
    ("--storage-path with a password", "--storage-path s3://me:s3cretpw@bucket/x", "credentials"),
    ("--storage-path with a signature", "--storage-path abfs://c@a/x?sig=s3cretpw", "credentials"),
    ("--storage-path with a token", "--storage-path gs://b/x?access_token=s3cretpw", "credentials"),
    ("--track with nothing", "--track ", "mlflow[:URI]"),
    ("--track with an unknown tracker", "--track foo:http://host", ("--track foo:", "mlflow[:URI]")),
    ("--track with a module's name", "--track os.system:x", "mlflow[:URI]"),
    ("--track by ftp", "--track mlflow:ftp://x", ("--track mlflow:ftp://x", "expected http://")),
    ("--track with a folder", "--track mlflow:/etc", "expected http://"),
    ("--track without a host", "--track mlflow:http://", "expected http://"),
    ("--track with a port beyond all", "--track mlflow:http://host:99999", "expected http://"),
    ("--track with half an address", "--track mlflow:http://[::1", "expected http://"),
    ("--track with a password", "--track mlflow:http://me:s3cretpw@host", ("credentials", "***")),
    ("--track with a password of signs", "--track mlflow:http://me:s3cretpw/@host", ("expected", "***")),
    ("--track with a database's password", "--track mlflow:postgresql://me:s3cretpw@h/db", "credentials"),
    ("--track with a token", "--track mlflow:https://host?token=s3cretpw", ("credentials", "***")),
    ("--track with a file nowhere", "--track mlflow:sqlite:///no/such/mlflow.db", "no file can be made"),
    ("--track with a folder for a file", "--track mlflow:sqlite:////", "no file can be made"),
    ("--track with a terminal's commands", "--track mlflow:http://h\x1b]0;x\x07", ("invisible", "\\x1b")),
    ("--track with a line's end", "--track mlflow:http://host\n", "invisible"),
    ("--track with a path for a project", "--track wandb:../../etc", "expected PROJECT"),
    ("--track with a project of 5,000 letters", "--track wandb:" + "x" * 5000, "expected PROJECT"),
    ("--track with none beside another", "--track none --track wandb", "none alone"),
]  # fmt: skip

TUNE = ("tune", "--data-dir", "nowhere", "--study", "s", "--space")


def _space(place: Place, content: bytes | str) -> Words:
    put(place.folder / "space.yaml", content)
    return *TUNE, "space.yaml", "--trials", "1"


def _special(place: Place, content: Callable[[Path], object]) -> Words:
    content(place.folder / "space.yaml")
    return *TUNE, "space.yaml"


def _config(place: Place, content: bytes | str) -> Words:
    put(place.folder / "config.yaml", content)
    return "train", "--config", "config.yaml", "--data-dir", "nowhere", "--out", "o"


def _pipe_as_config(place: Place, content: str) -> Words:
    words = _config(place, content)
    pipe(place.folder / "config.yaml")
    return words


def _option(place: Place, content: str) -> Words:
    return *TUNE, "paper", *content.split(" ", 1)


CASES: list[Case] = [
    *cases_of("search space", SPACES, _space),
    *cases_of("search space", UNREADABLE, _special, naming=("space.yaml",)),
    *cases_of("settings file", CONFIGS, _config),
    *cases_of("settings file", [("a pipe", "", "config.yaml")], _pipe_as_config),
    *cases_of("option", OPTIONS, _option),
]
