"""MkDocs hooks: generated tables, pages from files above docs/, and inline pictures.

The output of these hooks is not committed, so it is never out of date.
"""

import re
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from app.drawing.canvas import COLOURS
from docs.building import config_reference, http_reference, report_reference

ROOT = Path(__file__).parents[2]
_ABOVE = {
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "readme.md": "README.md",
}
_MADE = {
    "config": config_reference.render,
    "report": report_reference.render,
    "http": http_reference.render,
}
_PLACE = re.compile(r"<!-- made: (\w+) -->")
_PICTURE = re.compile(r'<img alt="([^"]*)" src="(?:\.\./)*pictures/([\w-]+)\.svg" ?/?>')
_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
# Notes for the test of the documents (tests/docs), removed from the site.
_NOTE = re.compile(r"<!-- (?:given|not run|json|output).*?-->", re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace folders in the navigation with their pages."""
    config.nav = [_expanded(entry, Path(config.docs_dir)) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages above docs/ and the style sheet of the pictures."""
    for uri, name in _ABOVE.items():
        text = (ROOT / name).read_text().replace("](docs/", "](")
        for other, above in _ABOVE.items():
            text = text.replace(f"]({above}", f"]({other}")
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, "assets/pictures.css", content=picture_css()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert generated tables, fix links to pages above docs/, and remove notes for tests."""
    del config, files
    up = "../" * page.file.src_uri.count("/")
    for uri, name in _ABOVE.items():
        markdown = markdown.replace(f"]({up}../{name}", f"]({up}{uri}")
    markdown = _PLACE.sub(lambda found: _MADE[found[1]](), markdown)
    return _NOTE.sub("", markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Inline pictures, so that they take the colours of the light or dark theme."""
    del page, files
    return _PICTURE.sub(lambda found: _inline(found, Path(config.docs_dir)), html)


def picture_css() -> str:
    """Return CSS with the colours of `app.drawing.canvas` for both themes."""
    sides = {
        scheme: "".join(f"--picture-{name}:{pair[side]};" for name, pair in COLOURS.items())
        for side, scheme in enumerate(("default", "slate"))
    }
    rules = [f"[data-md-color-scheme={scheme}]{{{text}}}\n" for scheme, text in sides.items()]
    return "".join(rules)


def _expanded(entry: Any, docs: Path) -> Any:  # noqa: ANN401  # any YAML value
    if not isinstance(entry, dict):
        return entry
    (title, value), *_ = entry.items()
    if isinstance(value, str) and value.endswith("/"):
        return {title: [value + path.name for path in sorted((docs / value).glob("*.md"))]}
    if isinstance(value, list):
        return {title: [_expanded(item, docs) for item in value]}
    return entry


def _inline(found: re.Match[str], docs: Path) -> str:
    svg = (docs / "pictures" / f"{found[2]}.svg").read_text()
    return _STYLE.sub("", svg).replace("<svg ", f'<svg aria-label="{escape(found[1])}" ', 1)
