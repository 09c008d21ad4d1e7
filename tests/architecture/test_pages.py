"""What a page leads to is there: the files and headings that it links to, the files that it names, and what its map says to begin with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FOLDERS: Final = ("docs", "deploy", "protos", "domain", "projections", "services", "tests")
PAGES: Final = [*sorted(ROOT.glob("*.md")), *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
FILES: Final = [f"/{path.relative_to(ROOT).as_posix()}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")]


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as a browser of the repository makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def is_there(page: Path, link: str) -> bool:
    """Tell whether a link leads anywhere; what is not of this repository is taken to."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return "://" in link or (target.exists() and (not anchor or anchor in headings(target)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not is_there(page, link)] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_the_modules_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`([\w/]+\.(?:py|proto|toml))`", page.read_text(encoding="utf-8"))
    assert [name for name in named if name != "hub.toml" and not any(file.endswith(f"/{name}") for file in FILES)] == []


def test_the_map_of_the_architecture_says_where_things_are() -> None:
    section = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("## Where things are")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \| .+ \| (.*?) ?\|$", section, re.MULTILINE)
    assert len(rows) > len(FOLDERS)
    for places, beginnings in rows:
        folders = [path for place in re.findall(r"`(.+?)`", places) for path in ROOT.glob(re.sub("<.+?>", "*", place.removesuffix("/")))]
        assert folders, places
        for beginning in re.findall(r"`(.+?)`", beginnings):
            near = [path / beginning for path in folders] + [path.parent / beginning for path in folders]
            assert any(path.exists() for path in near), f"{places}: {beginning}"
