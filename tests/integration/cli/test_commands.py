"""Help texts of the command line, parsing of options, and exit codes without a service."""

import importlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from app.cli.commands.sweep import parse_grid
from app.cli.main import COMMANDS, app
from app.contracts.config_options import OptionError, make_config, parse_setting, selection_of

COMMAND = Path(sys.executable).with_name("secateur")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide any service that runs in this folder or is named in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("SECATEUR_URL", "SECATEUR_KEY", "SECATEUR_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_shows_each_commands_own_help(name: str) -> None:
    lazy = COMMANDS[name]
    command = typer.main.get_command(importlib.import_module(lazy.module).app)
    assert (command.help or "").splitlines()[0] == lazy.help
    shown = run(name, "--help")
    assert shown.exit_code == 0, shown.output
    assert "--install-completion" not in shown.output


def _epilogs() -> list[tuple[str, str]]:
    found = []
    for name in COMMANDS:
        command = typer.main.get_command(importlib.import_module(COMMANDS[name].module).app)
        lines = (command.epilog or "").split("\n\n")[1:]
        found += [(name, line) for line in lines]
    return found


@pytest.mark.parametrize(("name", "line"), _epilogs())
def test_an_example_in_the_help_is_a_valid_command_line(name: str, line: str) -> None:
    words = shlex.split(line)
    assert words[:2] == ["secateur", name]
    command = typer.main.get_command(importlib.import_module(COMMANDS[name].module).app)
    with command.make_context(name, words[2:]) as context:
        rest = [*context._protected_args, *context.args]  # of a group
        if rest:
            command.commands[rest[0]].make_context(rest[0], rest[1:], parent=context)  # type: ignore[attr-defined]


def test_every_command_of_users_has_examples() -> None:
    named = {name for name, _ in _epilogs()}
    assert {"prune", "push", "infer", "sweep", "pull", "watch", "jobs"} <= named


def test_the_list_is_shown_without_arguments() -> None:
    shown = run().output
    for name in ("serve", "demo", "push", "prune", "watch", "pull", "infer", "sweep", "doctor"):
        assert f" {name} " in shown


def test_a_misspelled_command_gets_a_suggestion() -> None:
    found = run("prunne")
    assert (found.exit_code, "prune" in found.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("jobs", "--url", NOWHERE), 3, "cannot be reached"),
        (("jobs", "--url", "nonsense"), 2, "not an HTTP URL"),
        (("jobs", "--url", NOWHERE, "--key", "a b"), 2, "copy it again"),
        (("push", "nothing.pt2", "--url", NOWHERE), 1, "neither a known id nor an existing file"),
        (("push", "resnet18", "--url", NOWHERE), 1, "such as timm/resnet18"),
        (("infer", "mdl_1", "no.png", "--url", NOWHERE), 1, "secateur: no.png: No such file"),
        (("push", "nothing.pt2", "--preprocess", "{}"), 2, "--preprocess applies to samples"),
        (("push", "data.npz", "--preprocess", "{"), 2, "not JSON"),
        (("push", "data.npz", "--preprocess", "missing.json"), 2, "No such file"),
        (("push", "data.npz", "--preprocess", "image-net"), 2, "did you mean imagenet?"),
        (("prune", "mdl_1", "--macs", "0.5", "--ratio", "0.5"), 2, "mutually exclusive"),
        (("prune", "mdl_1", "--goal", "smaler"), 2, "did you mean 'smaller'?"),
        (("prune", "mdl_1", "--goal", "faster", "--macs", "0.5"), 2, "leave out the other option"),
        (("prune", "mdl_1", "--goal", "faster", "--config", '{"seed": 1}'), 2, "--config are mut"),
        (("prune", "mdl_1", "--plan", "--wait"), 2, "a plan starts no job"),
        (("prune", "mdl_1", "--set", "macs=1"), 2, "not of the form"),
        (("sweep", "mdl_1"), 2, "--grid"),
        (("sweep", "swp_1", "--grid", "/a=1"), 2, "only the id of a sweep"),
        (("infer", "net", "a.npy", "b.png"), 2, "one file of arrays"),
        (("infer", "net", "a.png", "--out", "y.npy"), 2, "for the labels of images"),
        (("infer", "net", "missing.npy", "--url", NOWHERE), 1, "missing.npy"),
    ],
)
def test_each_kind_of_error_has_its_own_exit_code(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    found = run(*arguments)
    assert found.exit_code == code, found.output
    assert words in " ".join(found.stderr.replace("│", " ").split())
    assert found.stdout == ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"macs": 0.5}, {"selection.mode": "budget", "selection.macs": 0.5}),
        ({"ratio": 0.3}, {"selection.mode": "ratio", "selection.ratio": 0.3}),
        ({"max_drop": 0.01}, {"selection.mode": "accuracy", "selection.max_drop": 0.01}),
        ({"steepness": 2.0}, {"selection.mode": "steepness", "selection.steepness": 2.0}),
        ({}, {}),
    ],
)
def test_the_option_given_decides_the_selection_mode(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert selection_of({"params": None, **given}) == expected


def test_options_override_the_config_file_and_set_overrides_both() -> None:
    base = {"selection": {"mode": "budget", "macs": 0.9, "round_to": 8}, "seed": 1}
    config = make_config(
        base,
        {"selection.macs": 0.5, "retrain.epochs": None, "criterion.kind": "l2"},
        ["/retrain/optimizer/kind=adamw", "/selection/round_to=16", "/seed=2"],
    )
    assert config == {
        "selection": {"mode": "budget", "macs": 0.5, "round_to": 16},
        "criterion": {"kind": "l2"},
        "retrain": {"optimizer": {"kind": "adamw"}},
        "seed": 2,
    }
    assert base["seed"] == 1, "the config passed in is not modified"
    with pytest.raises(OptionError, match="is not an object"):
        make_config({"seed": 1}, {}, ["/seed/x=1"])


def test_values_are_json_or_text() -> None:
    assert parse_setting("/a/b=0.5") == ("/a/b", 0.5)
    assert parse_setting("/a=b=c") == ("/a", "b=c")
    assert parse_grid("/selection/macs=0.5,0.25") == ("/selection/macs", [0.5, 0.25])
    assert parse_grid("/criterion/kind=l1,taylor") == ("/criterion/kind", ["l1", "taylor"])
    assert parse_grid('/selection/exclude=[["a,b"], []]') == (
        "/selection/exclude",
        [["a,b"], []],
    )


@pytest.mark.parametrize(
    ("words", "completed"),
    [("secateur pu", "push pull"), ("secateur prune --ma", "--macs --max-drop")],
)
def test_the_shell_completes_commands_and_options(words: str, completed: str) -> None:
    done = subprocess.run(
        [COMMAND],
        env={
            **os.environ,
            "_SECATEUR_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(completed.split()) <= set(done.stdout.split()), done


def test_errors_in_json_mode_leave_standard_output_empty() -> None:
    found = run("models", "--json", "--url", NOWHERE)
    assert (found.exit_code, found.stdout) == (3, "")
    with pytest.raises(json.JSONDecodeError):
        json.loads(found.stderr)
