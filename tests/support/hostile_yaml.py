"""Hostile YAML: search spaces, settings files and `--set`."""

from __future__ import annotations

from hostile import Case, Place, Words, cases_of, closed, folder, link, pipe, put

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)
)
CHOICES = ", ".join(str(number) for number in range(1, 25))
WHEN = ", ".join(f"{name}: [{CHOICES}]" for name in ("parts", "epochs", "num_features", "step_epochs"))
EXPLOSION = (
    "".join(
        f"  {name}: {{type: int, low: 1, high: 24}}\n"
        for name in ("parts", "epochs", "num_features", "step_epochs")
    )
    + f"  lr: {{type: float, low: 0.1, high: 1, when: {{{WHEN}}}}}\n"
    + f"  dropout: {{type: float, low: 0, high: 0.5, when: {{{WHEN}}}}}\n"
    + "baseline: {parts: 6, epochs: 20, num_features: 20, step_epochs: 20}\n"
)

SPACES = [
    ("aliases that grow to billions", "search: {lr: {type: categorical, choices: *a39}}\n", ("alias",)),
    ("an alias bomb as a value", BOMB + "trials: *a39\n", ("alias", "20000")),
    ("a list that holds itself", "search: &a [*a]\n", ("holds itself",)),
    ("10 MB", "# " + "x" * 10_000_000 + "\ntrials: 3\n", ("bytes",)),
    ("nested 100,000 deep, in brackets", "search: " + "[" * 100_000, ("nested",)),
    ("nested 200 deep, by indenting", "".join(" " * i + "a:\n" for i in range(200)), ("nested",)),
    ("a key twice", "trials: 3\nfixed: {depth: 18}\ntrials: 4\n", ("'trials'", "twice", "line 3")),
    ("a setting twice", "fixed:\n  depth: 18\n  lr: 0.1\n  depth: 34\n", ("'depth'", "twice", "line 4")),
    ("tabs for indenting", "fixed:\n\tdepth: 18\n", ("YAML", "\\t")),
    ("a byte-order mark", "\ufefftrials: 3\n", ("nowhere",)),
    ("lines that end as on Windows", "trials: 3\r\nfixed:\r\n  depth: 18\r\n", ("nowhere",)),
    ("keys merged from an anchor", "fixed: {<<: {depth: 18}, lr: 0.1}\n", ("nowhere",)),
    ("an object of Python", "trials: !!python/object/apply:os.system [touch ran]\n", ("python/object",)),
    ("a name of Python", "trials: !!python/name:os.system\n", ("python/name",)),
    ("a set", "search: {lr: !!set {a, b}}\n", ("search.lr",)),
    ("bytes", "fixed: {pretrained: !!binary aGFsbG8=}\n", ("pretrained", "b'hallo'")),
    ("not a number", "search: {lr: {type: float, low: .nan, high: 1}}\n", ("lr", "nan")),
    ("infinity", "search: {lr: {type: float, low: 0.1, high: .inf}}\n", ("lr", "inf")),
    ("a number of 5,000 digits", f"trials: {'9' * 5000}\n", ("5000 characters",)),
    ("a number of 4,000 hexadecimal digits", f"trials: 0x{'f' * 4000}\n", ("4002 characters",)),
    ("a number to the base 60", f"trials: 1{':1' * 5000}\n", ("characters",)),
    ("a number beyond every float", f"trials: {'9' * 99}\n", ("trials",)),
    ("a negative number of trials", "trials: -5\n", ("trials", "-5")),
    ("a key that is a number", "1: 2\n", ("'1'", "no text")),
    ("a key that is true", "fixed: {yes: 1}\n", ("'yes'", "no text")),
    ("a key that is nothing", "fixed: {~: 1}\n", ("no text",)),
    ("a key that is a list", "? [a, b]\n: 1\n", ("a list or mapping",)),
    ("terminal sequences in a key", '"\\e[31mlr\\a\\e]0;x\\a": 1\n', ("unknown key", "\\x1b")),
    ("UTF-16", "trials: 3\n".encode("utf-16"), ("YAML",)),
    ("Latin-1", "# café\ntrials: 3\n".encode("latin-1"), ("YAML",)),
    ("zero bytes", b"trials: 3\n\0\0\0", ("YAML",)),
    ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ("YAML",)),
    ("nothing", "", ("NoneType",)),
    ("a list", "- trials\n", ("list",)),
    ("two documents", "trials: 3\n---\ntrials: 4\n", ("YAML", "document")),
    ("conditions that multiply", "search:\n" + EXPLOSION, ("search", "conditions")),
    (
        "a grid of 10^9",
        "sampler: grid\nsearch: {lr: {type: float, low: 0.1, high: 1, step: 1.0e-9}}\n",
        ("grid",),
    ),
    (
        "steps that are smaller than all",
        "search: {lr: {type: float, low: 0.1, high: 1, step: 1.0e-320}}\n",
        ("step",),
    ),
]


def _space(place: Place, content: bytes | str) -> Words:
    put(place.folder / "space.yaml", content)
    return "tune", "--data-dir", "nowhere", "--study", "s", "--space", "space.yaml", "--trials", "1"


def _config(place: Place, content: bytes | str) -> Words:
    put(place.folder / "config.yaml", content)
    return "train", "--config", "config.yaml", "--data-dir", "nowhere", "--out", "o"


CONFIGS = [
    ("an alias bomb as a setting", BOMB + "depth: *a39\n", ("config.yaml", "alias")),
    ("a setting twice, the last one harmless", "depth: 18\ndepth: 50\n", ("'depth'", "line 2")),
    ("a structure where a number belongs", "depth: {a: [1, 2, {b: 3}]}\n", ("depth",)),
    ("a link for weights", "pretrained: https://me:s3cretpw@host/x.pth\n", ("pretrained", "local copy")),
    ("a path with a zero byte", 'pretrained: "a\\0b"\n', ("pretrained",)),
    ("a height beyond all memory", "height: 1000000000\n", ("height", "1000000000")),
]


def _special(place: Place, make: str) -> Words:
    path = place.folder / "space.yaml"
    if make == "pipe":
        pipe(path)
    elif make == "folder":
        folder(path)
    elif make == "closed":
        closed(put(path, "trials: 3\n"))
    else:
        link(path, make)
    return "tune", "--data-dir", "nowhere", "--study", "s", "--space", "space.yaml"


SPECIAL = [
    ("a pipe", "pipe", ("space.yaml",)),
    ("a folder", "folder", ("space.yaml",)),
    ("one that may not be read", "closed", ("space.yaml", "denied")),
    ("a device that never ends", "/dev/zero", ("space.yaml",)),
    ("a link to nothing", "gone.yaml", ("space.yaml",)),
    ("a link to itself", "space.yaml", ("space.yaml",)),
]


def _pipe_as_config(place: Place, content: str) -> Words:
    pipe(place.folder / "config.yaml")
    return "train", "--config", "config.yaml", "--data-dir", "nowhere", "--out", "o"


def _set(place: Place, text: str) -> Words:
    return "tune", "--data-dir", "nowhere", "--study", "s", "--space", "paper", *text.split(" ", 1)


OPTIONS = [
    (
        "--set with an alias bomb",
        "--set depth=[&a [1,1,1,1], &b [*a,*a,*a], [*b,*b,*b]]",
        ("--set depth", "depth"),
    ),
    (
        "--set with an object of Python",
        "--set depth=!!python/object/apply:os.system [touch ran]",
        ("python/object",),
    ),
    ("--set nested 10,000 deep", "--set depth=" + "[" * 10_000, ("nested",)),
    ("--set with a token in it", "--set pretrained=https://me:s3cretpw@host/x", ("pretrained", "***")),
    ("--trials beyond every float", "--trials 1" + "0" * 400, ("trials",)),
    ("--epoch-budget beyond every float", "--epoch-budget -1" + "0" * 400, ("epoch",)),
    ("--seed of 5,000 digits", "--seed " + "9" * 5000, ("--seed",)),
    ("--time-budget without end", "--time-budget " + "9" * 400 + "h", ("--time-budget",)),
    ("--time-budget in other digits", "--time-budget ٣h", ("--time-budget",)),
    ("--metric with a terminal's commands", "--metric \x1b]0;owned\x07", ("--metric", "\\x1b")),
    ("--address with a token", "--address me:s3cretpw@127.0.0.1:6379", ("--address",)),
]

STORAGE = [
    ("--storage-path with a password", "--storage-path s3://me:s3cretpw@bucket/x", ("credentials",)),
    ("--storage-path with a signature", "--storage-path abfs://c@a/x?sig=s3cretpw", ("credentials",)),
    ("--storage-path with a token", "--storage-path gs://b/x?access_token=s3cretpw", ("credentials",)),
]

CASES: list[Case] = [
    *cases_of("search space", SPACES, _space),
    *cases_of("search space", SPECIAL, _special),
    *cases_of("settings file", CONFIGS, _config),
    *cases_of("settings file", [("a pipe", "", ("config.yaml",))], _pipe_as_config),
    *cases_of("option", OPTIONS, _set),
    *cases_of("option", STORAGE, _set),
]
