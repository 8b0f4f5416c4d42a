"""The recorded terminal session: rendering of progress bars, and redaction."""

import io
import re
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from docs.record_session import TARGET, draw
from docs.session.screen import Screen
from docs.session.terminal import Terminal, without_secrets


def test_a_bar_leaves_its_last_state_and_lines_stay_above_it() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=60, legacy_windows=False)
    with Progress(console=console) as bar:
        tasks = [bar.add_task(name, total=3) for name in ("first", "second")]
        for step in range(3):
            console.print(f"line {step}")
            for task in tasks:
                bar.advance(task)
                bar.refresh()
    console.print("after")
    screen = Screen()
    screen.feed(written.getvalue())
    plain = re.sub(r"\x1b\[[\d;]*m", "", screen.text()).splitlines()
    assert [line.split()[0] for line in plain] == [
        "line",
        "line",
        "line",
        "first",
        "second",
        "after",
    ]
    assert plain[0] == "line 0"
    assert "100%" in plain[3]


def test_a_carriage_return_overwrites_the_line() -> None:
    screen = Screen()
    screen.feed("one\rtwo\nthree\r\nfour")
    assert screen.text() == "two\nthree\nfour"


def test_commands_run_on_a_terminal(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, {"PATH": "/usr/bin:/bin"})
    assert terminal.run("test -t 1").strip() == ""
    with terminal.in_background("sh -c 'echo here; exec sleep 600'", until="here"):
        assert "here" in terminal.written[-1]
    assert "$\x1b[0m \x1b[1mtest -t 1" in terminal.written[0]


def test_keys_are_redacted() -> None:
    line = "API key: sec_01JD0000000000000000000000_a-B_c9 and #key=sec_01JD_x"
    assert without_secrets(line) == "API key: sec_•••••••• and #key=sec_••••••••"


def test_the_picture_shows_five_commands_and_nothing_private() -> None:
    picture = TARGET.read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", picture).replace("&#160;", " ")
    for words in (
        "pip install",
        "secateur serve",
        "secateur push",
        "secateur prune",
        "pull latest",
    ):
        assert words in text
    assert not re.search(r"sec_[0-9A-Za-z]", text)
    assert "/tmp/" not in text  # noqa: S108  # looked for
    drawn = re.sub(r"<!--.*?-->", "", picture)
    assert not re.search(r"https?://(?!www\.w3\.org|127\.0\.0\.1)", drawn), "nothing is fetched"


def test_a_picture_is_drawn_with_its_colours() -> None:
    picture = draw("\x1b[1;32m$\x1b[0m echo\r\n" + "long " * 40 + "end\n")
    assert "echo" in picture
    assert "end" in picture, "long lines are folded"
