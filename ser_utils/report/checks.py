"""What can be wrong with a page of the report, found without a browser."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ser_utils.report.pages import script

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

LOADS = ("src", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href")
NO_DESCRIPTION = "No description has been provided for this image"  # what nbconvert writes for want of a text
CSS_LOAD = re.compile(r"url\(\s*['\"]?(?!data:|#)([^)'\"]*)|@import\s+(['\"][^'\"]*)")


def problems(html_file: Path) -> list[str]:
    """Everything wrong with one page: what it loads from outside, what a reader cannot reach, what a link misses.

    Parameters
    ----------
    html_file : Path
        A page; links to its neighbours are followed on disk.

    Returns
    -------
    list of str
        One sentence each, e.g. ``"image without alt text: …"``; empty for a good page.
    """
    from bs4 import BeautifulSoup

    html_file = Path(html_file)
    soup = BeautifulSoup(html_file.read_text(encoding="utf-8"), "html.parser")
    checks = (_document, _external, _descriptions, _ids, _headings, _tables)
    found = [problem for check in checks for problem in check(soup)]
    return found + list(_links(soup, html_file))


def _document(soup: BeautifulSoup) -> Iterator[str]:
    if not (soup.html and soup.html.get("lang")):
        yield "no language on <html>"
    if not (soup.title and soup.title.get_text().strip()):
        yield "no title"
    if len(soup.find_all("main")) != 1:
        yield f"{len(soup.find_all('main'))} main landmarks, not one"


def _external(soup: BeautifulSoup) -> Iterator[str]:
    for tag in soup.find_all(True):
        loaded = [str(tag[name]) for name in LOADS if tag.get(name)]
        loaded += [str(tag["href"])] if tag.name in {"link", "use", "image", "base"} and tag.get("href") else []
        for address in loaded:
            if not address.startswith(("data:", "#")):
                yield f"external resource: <{tag.name}> loads {address[:80]}"
        css = tag.get_text() if tag.name == "style" else str(tag.get("style") or "")
        for match in CSS_LOAD.finditer(css):
            yield f"external resource: a style loads {(match[1] or match[2])[:80]}"
    if any(tag.attrs or tag.get_text() != script() for tag in soup.find_all("script")):
        yield "script: a page holds no other than the one that sorts its tables"
    if soup.find("meta", attrs={"http-equiv": re.compile("refresh", re.I)}):
        yield "external resource: the page sends its reader elsewhere (meta refresh)"


def _descriptions(soup: BeautifulSoup) -> Iterator[str]:
    for image in soup.find_all("img"):
        alt = str(image.get("alt") or "").strip()
        if not alt or alt == NO_DESCRIPTION:
            yield f"image without alt text: {str(image.get('src'))[:60]}"
    for drawing in soup.find_all("svg"):
        if drawing.get("aria-hidden") != "true" and not drawing.get("aria-label"):
            yield "drawing (svg) that is neither named nor hidden from screen readers"
    for player in soup.find_all(["audio", "video"]):
        if not player.get("aria-label"):
            yield f"<{player.name}> without a name (aria-label)"


def _ids(soup: BeautifulSoup) -> Iterator[str]:
    counts = Counter(tag["id"] for tag in soup.find_all(id=True))
    yield from (f"duplicate id: {name} ({n} times)" for name, n in counts.items() if n > 1)
    for tag in soup.find_all(attrs={"aria-labelledby": True}):
        for name in str(tag["aria-labelledby"]).split():
            if name not in counts:
                yield f"aria-labelledby names no element: {name}"


def _headings(soup: BeautifulSoup) -> Iterator[str]:
    headings = soup.find_all(re.compile(r"^h[1-6]$"))
    n = sum(heading.name == "h1" for heading in headings)
    if n != 1:
        yield f"{n} top headings (h1), not one"
    level = 0
    for heading in headings:
        here = int(heading.name[1])
        if here > level + 1:
            yield f"heading level skipped: h{here} after h{level}: {heading.get_text().strip()[:60]}"
        level = here


def _tables(soup: BeautifulSoup) -> Iterator[str]:
    for table in soup.find_all("table"):
        caption = table.find("caption")
        if not (caption and caption.get_text().strip()):
            yield f"table without caption: {' '.join(table.get_text().split())[:60]}"
    for th in soup.find_all("th"):
        if th.get("scope") not in {"col", "row", "colgroup", "rowgroup"}:
            yield f"table header without scope: {th.get_text().strip()[:60]}"


def _links(soup: BeautifulSoup, page: Path) -> Iterator[str]:
    for link in soup.find_all("a"):
        href = str(link.get("href") or "")
        if not href:
            yield f"link without address: {link.get_text().strip()[:60]}"
        elif not re.match(r"[a-z][a-z0-9+.-]*:", href):
            name, _, anchor = href.partition("#")
            target = page.parent / unquote(name) if name else page
            if not target.is_file():
                yield f"broken link: {href}: no such file"
            elif anchor and unquote(anchor) not in _anchors(target, target.stat().st_mtime_ns):
                yield f"broken link: {href}: no such place on the page"


@functools.lru_cache(maxsize=64)
def _anchors(page: Path, _changed: int) -> frozenset[str]:
    return frozenset(re.findall(r'\sid="([^"]+)"', page.read_text(encoding="utf-8", errors="replace")))
