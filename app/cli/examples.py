"""Examples at the end of a command's help."""


def examples(*lines: str) -> str:
    """Return command lines as a paragraph of the help each."""
    return "\n\n".join(["Examples:", *lines])
