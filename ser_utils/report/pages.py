"""One executed notebook to one self-contained page."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_utils import study

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag
    from jinja2 import Environment
    from nbformat import NotebookNode

TEMPLATES = Path(__file__).parent / "templates"
STUDY_TITLE = "Speech emotion recognition on unseen speakers, in noise"
NOTEBOOKS: Mapping[str, tuple[str, str]] = {
    "01_eda": ("The corpora", "What is in the corpora, and can they be trusted?"),
    "02_features": ("Features", "Which acoustic features separate emotions, and how far do classic models get?"),
    "03_augmentation": ("Augmentation", "What does each augmentation do to the sound, and to the score?"),
    "04_lstm": ("Recurrent nets", "How far do recurrent nets get?"),
    "05_cnn": ("Convolutional nets", "How far do 1-D, 2-D, CRNN and ResNet-50 nets get?"),
    "06_denoising": ("Noise and denoising", "What helps more in noise: a denoiser, noise in training, or both?"),
    "07_pretrained_fusion": ("Pretrained encoders", "How far do pretrained encoders get, and does text help?"),
    "08_generative": ("Generated speech", "Does generated speech help on real recordings of unseen speakers?"),
    "09_evaluation": ("Evaluation", "Everything side by side, with intervals and tests."),
    "10_live_demo": ("Try it", "Microphone or file, clean or denoised."),
}
RESERVED_IDS = ("main", "error", "index", "contents")


@functools.cache
def templates() -> Environment:
    """Jinja templates of the report; values are escaped unless marked safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    env = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.globals |= {"study_title": STUDY_TITLE, "css": (TEMPLATES / "style.css").read_text(encoding="utf-8")}
    env.globals |= {"script": script(), "script_hash": script_hash()}
    env.filters["duration"] = study.duration
    return env


def script() -> str:
    """The one script of a page, which sorts its tables; a page reads the same without it."""
    return (TEMPLATES / "sort.js").read_text(encoding="utf-8")


def script_hash() -> str:
    """What a page's content security policy lets run: this script and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()


def render_page(ipynb: Path, html: Path, *, profile: str, status: str) -> None:
    """Write the page of an executed notebook: one file that needs no other, no network and no JavaScript.

    Parameters
    ----------
    ipynb : Path
        The executed copy; its stem, e.g. ``04_lstm``, is the page's name.
    html : Path
        Where the page goes, beside the report's ``index.html``.
    profile : str
    status : str
        ``"ok"`` or ``"failed"``. A failed page shows the error at ``#error``.

    Raises
    ------
    UserError
        When `ipynb` is missing or not a notebook.
    """
    nb = _read(Path(ipynb))
    error = _mark_error(nb)
    body = fragment(nb)
    title = _take_title(body) or Path(ipynb).stem
    number_captions(body)
    _tie_percents(body)
    for code in body.find_all("pre"):
        code["tabindex"] = "0"  # long lines scroll, from the keyboard too
    headings = _order_headings(body)
    _tie_links(body, cut=error is not None)
    name = Path(ipynb).stem
    order = [n for n in NOTEBOOKS if n in study.load_profile(profile)["notebooks"] or n == name]
    at = order.index(name) if name in order else len(order)
    text = (
        templates()
        .get_template("page.html.j2")
        .render(
            title=title,
            profile=study.load_profile(profile)["title"],
            failed=status != "ok",
            error=error,
            ran=_ran(nb),
            contents=headings,
            previous=_neighbour(order[at - 1] if at > 0 else None),
            next=_neighbour(order[at + 1] if at + 1 < len(order) else None),
            body=str(body),
        )
    )
    existing = {page.stem for page in Path(html).parent.glob("*.html")} | {name}
    with study.atomic(Path(html)) as temporary:
        temporary.write_text(tie_pages(text, existing), encoding="utf-8")


def tie_pages(text: str, existing: Iterable[str]) -> str:
    """Point each link to another page of the report at that page, or at its line on the first page until it exists.

    The attribute ``data-page`` holds where a link wants to lead, ``<page>`` or ``<page>#<place>``.

    Examples
    --------
    >>> tie_pages('<a data-page="04_lstm" href="">', {"04_lstm"}), tie_pages('<a data-page="04_lstm" href="">', set())
    ('<a data-page="04_lstm" href="04_lstm.html">', '<a data-page="04_lstm" href="index.html#page-04_lstm">')
    """
    existing = set(existing)

    def tied(match: re.Match[str]) -> str:
        name, place = match[1], match[2] or ""
        target = f"{name}.html{place}" if name in existing else f"index.html#page-{name}"
        return f'data-page="{name}{place}" href="{target}"'

    return re.sub(r'data-page="([^"#]+)(#[^"]*)?" href="[^"]*"', tied, text)


def mark_old(text: str, failed: Iterable[str]) -> str:
    """Say on a page that it is older than its report since what it reads `failed`; nothing where nothing failed."""
    names = " and ".join(failed)
    words = f"{names} failed in the last run, so this notebook did not run: the page shows an earlier run."
    banner = f'<div class="banner bad"><p><strong>Not current.</strong> {words}</p></div>' if names else ""
    return re.sub(r"(<!-- old -->).*?(<!-- /old -->)", rf"\g<1>{banner}\g<2>", text, flags=re.DOTALL)


def _neighbour(name: str | None) -> dict[str, str] | None:
    return {"name": name, "title": page_title(name)} if name else None


def page_title(name: str) -> str:
    """Title of a notebook as its first line gives it; of one that is not built yet, the planned one."""
    file = study.ROOT / "notebooks" / f"{name}.ipynb"
    if file.is_file():
        first = "".join(json.loads(file.read_text(encoding="utf-8"))["cells"][0]["source"])
        if first.startswith("# "):
            return first.splitlines()[0][2:].strip()
    return f"{name[:2]} · {NOTEBOOKS[name][0]}" if name in NOTEBOOKS else name


def _read(ipynb: Path) -> NotebookNode:
    import nbformat

    try:
        nb = nbformat.read(ipynb, as_version=4)
    except FileNotFoundError as error:
        raise study.UserError(f"{ipynb} does not exist; run its notebook first") from error
    except (ValueError, nbformat.reader.NotJSONError) as error:
        raise study.UserError(f"{ipynb} is not a notebook; delete it and run its notebook again") from error
    # papermill puts notes with links of its own around a failing cell; the page has its own banner
    nb.cells = [c for c in nb.cells if "papermill-error-cell-tag" not in c.metadata.get("tags", [])]
    return nb


def _mark_error(nb: NotebookNode) -> dict[str, Any] | None:
    """The first error of the run, its cell marked for the template; cells after it never ran and are left out."""
    for at, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                cell.metadata["failed"] = True
                skipped = sum(c.cell_type == "code" for c in nb.cells[at + 1 :])
                nb.cells = nb.cells[: at + 1]
                number = sum(c.cell_type == "code" for c in nb.cells)
                return {"cell": number, "name": output.ename, "message": output.evalue, "skipped": skipped}
    return None


def fragment(nb: NotebookNode) -> BeautifulSoup:
    """The cells of `nb` as parsed HTML."""
    from bs4 import BeautifulSoup

    from ser_utils.report.exporter import FragmentExporter

    nb.metadata.setdefault("language_info", {"name": "python"}).setdefault("pygments_lexer", "python3")
    markup, _ = FragmentExporter().from_notebook_node(nb)
    return BeautifulSoup(markup, "html.parser")


def _take_title(body: BeautifulSoup) -> str | None:
    h1 = body.find("h1")
    return h1.extract().get_text().strip() if h1 else None


def number_captions(body: BeautifulSoup) -> None:
    """Number figures and tables in the order of the page, each with an id that a link can name."""
    for tag, caption, word in (("figure", "figcaption", "Figure"), ("table", "caption", "Table")):
        found = [element for element in body.find_all(tag) if element.find(caption)]
        for n, element in enumerate(found, 1):
            element["id"] = f"{word.lower()}-{n}"
            label = body.new_tag("span", attrs={"class": "label"})
            label.string = f"{word} {n}"
            element.find(caption).insert(0, label, " ")
    for image in body.select("figure > img"):
        # wide plots keep a legible size on phones and scroll inside their frame
        image.wrap(body.new_tag("div", attrs={"class": "plot", "tabindex": "0", "role": "group", "aria-label": "Plot"}))


def _tie_percents(body: BeautifulSoup) -> None:
    """No line ends between a number and its percent sign."""
    for text in body.find_all(string=re.compile(r"\d %")):
        if not text.find_parent(["pre", "code"]):
            text.replace_with(re.sub(r"(?<=\d) %", "\u00a0%", text))


def _order_headings(body: BeautifulSoup) -> list[dict[str, Any]]:
    """Give headings ids and consecutive levels below the title; returns the page's contents."""
    ids = {tag["id"] for tag in body.find_all(id=True)} | set(RESERVED_IDS)
    contents, level = [], 1
    for heading in body.find_all(re.compile(r"^h[1-6]$")):
        level = min(max(int(heading.name[1]), 2), level + 1)
        heading.name = f"h{level}"
        heading["id"] = _unique(_slug(heading), ids)
        if level <= 3:
            contents.append({"level": level, "id": heading["id"], "text": heading.get_text().strip()})
    return contents


def _slug(heading: Tag) -> str:
    # JupyterLab's own rule, so that links between sections work there and here
    return re.sub(r"[\"'<>]", "", re.sub(r"\s", "-", heading.get_text().strip())) or "section"


def _unique(slug: str, taken: set[str]) -> str:
    name, n = slug, 1
    while name in taken:
        n += 1
        name = f"{slug}-{n}"
    taken.add(name)
    return name


def _tie_links(body: BeautifulSoup, *, cut: bool) -> None:
    """Links to notebooks lead to their pages; other files of the project, and cut sections, are named, not linked."""
    for link in body.find_all("a", href=True):
        href = str(link["href"])
        notebook = re.fullmatch(r"(?:.*/)?(\d\d_\w+)\.(?:ipynb|html)(#.*)?", href)
        if notebook:
            link.attrs = {"data-page": notebook[1] + (notebook[2] or ""), "href": ""}
        elif not re.match(r"#|[a-z]+:", href) or (cut and href.startswith("#") and not body.find(id=href[1:])):
            link.name, link.attrs = "span", {"class": "path", "title": href}


def _ran(nb: NotebookNode) -> dict[str, Any]:
    """When and for how long papermill ran the notebook; empty where it did not."""
    run = nb.metadata.get("papermill", {})
    return {"start": str(run.get("start_time") or "")[:16].replace("T", " "), "seconds": run.get("duration")}
