"""Cells of an executed notebook to an HTML fragment: nbconvert with a template of our own and maths as MathML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert as latex_to_mathml
from nbconvert import HTMLExporter
from nbconvert.filters.ansi import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

TEMPLATES = Path(__file__).parent / "templates"
SYNONYMS = {"{aligned}": "{split}", r"\operatorname*": r"\operatorname"}  # what latex2mathml does not know, as it does
ARROW = re.compile(r"^(-+>|\s*-+> )")


class FragmentExporter(HTMLExporter):
    """HTML of a notebook's cells alone, without a page around them and without JavaScript."""

    def __init__(self, **options: Any) -> None:
        super().__init__(template_name="notebook", extra_template_basedirs=[str(TEMPLATES)], **options)

    def default_filters(self) -> Iterator[tuple[str, Any]]:
        yield from super().default_filters()
        yield "markdown2html", markdown_to_html
        yield "settled", settled
        yield "line_count", lambda text: text.rstrip("\n").count("\n") + 1
        yield "traceback", traceback_html


class MathRenderer(IPythonRenderer):
    """Markdown with formulas turned into MathML, which browsers draw by themselves."""

    def block_math(self, body: str) -> str:
        return f'<span class="math" role="group" tabindex="0">{mathml(body, display="block")}</span>'

    def inline_math(self, body: str) -> str:
        return mathml(body, display="inline")

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


def markdown_to_html(source: str) -> str:
    """Markdown with ``$…$`` and ``$$…$$`` to HTML; raw HTML stays."""
    renderer = MathRenderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)


def mathml(latex: str, *, display: str) -> str:
    """A LaTeX formula as MathML; its source where it cannot be read.

    Examples
    --------
    >>> "<mfrac>" in mathml(r"\\frac{1}{2}", display="inline")
    True
    """
    latex = latex.strip()
    for unknown, known in SYNONYMS.items():
        latex = latex.replace(unknown, known)
    try:
        markup = latex_to_mathml(latex, display=display)
    except Exception:  # latex2mathml raises whatever its parser stumbles over
        return f'<code class="formula">{html.escape(latex)}</code>'
    return markup.replace("<math ", f'<math alttext="{html.escape(latex)}" ', 1)


def settled(text: str) -> str:
    r"""What a terminal shows in the end: each line after its last carriage return.

    Examples
    --------
    >>> settled("1/3\r2/3\r3/3\ndone\n")
    '3/3\ndone\n'
    """
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def traceback_html(lines: list[str]) -> str:
    """A traceback with its failing lines and its last line marked; terminal colours, made for one ground, dropped."""
    rows = [html.escape(line) for line in strip_ansi("\n".join(lines)).rstrip().split("\n")]
    rows = [f'<span class="arrow">{row}</span>' if ARROW.match(html.unescape(row)) else row for row in rows]
    return "\n".join([*rows[:-1], f"<strong>{rows[-1]}</strong>"])
