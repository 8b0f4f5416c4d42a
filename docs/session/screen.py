"""Terminal screen that interprets the escape codes of progress bars."""

import re

_TOKENS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07]*\x07|(\r)|(\n)|([^\x1b\r\n]+)")


class Screen:
    """Lines with colours; supports the codes of progress bars: cursor up, erase line, rewrite."""

    def __init__(self) -> None:
        self._lines = [""]
        self._row = 0
        self._is_at_start = False

    def feed(self, text: str) -> None:
        """Process the output of a program."""
        for match in _TOKENS.finditer(text):
            argument, command, start, end, words = match.groups()
            if command is not None:
                self._control(argument, command)
            elif start:
                self._is_at_start = True
            elif end:
                self._row += 1
                self._lines += [""] * (self._row + 1 - len(self._lines))
                self._is_at_start = False
            elif words:
                self._write(words)

    def text(self) -> str:
        """Return the lines with ANSI colours."""
        return "\n".join(self._lines).rstrip()

    def _control(self, argument: str, command: str) -> None:
        if command == "m":
            self._write(f"\x1b[{argument}m")
        elif command == "A":
            self._row = max(0, self._row - int(argument or 1))
        elif command == "K":
            self._lines[self._row] = ""

    def _write(self, words: str) -> None:
        if self._is_at_start:
            self._lines[self._row], self._is_at_start = "", False
        self._lines[self._row] += words
