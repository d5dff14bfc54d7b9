"""Formulae in Markdown: TeX between dollar signs becomes MathML, which browsers draw without script or style."""

from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.util import AtomicString

MOST = 2000  # characters of a formula
TAGS = {
    *("math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mpadded", "mphantom", "mstyle", "merror"),
    *("mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts"),
    *("mtable", "mtr", "mtd", "menclose"),
}
ATTRIBUTES = {
    *(
        "display",
        "displaystyle",
        "scriptlevel",
        "mathvariant",
        "stretchy",
        "fence",
        "form",
        "separator",
        "accent",
    ),
    *(
        "accentunder",
        "columnalign",
        "rowspan",
        "columnspan",
        "linethickness",
        "lspace",
        "rspace",
        "minsize",
        "maxsize",
    ),
    *("movablelimits", "width", "height", "depth", "notation", "largeop"),
}


class Formulae(Extension):
    """`$…$` within a line and `$$…$$` as a block; `\\$` is a dollar sign, and so is one before a price."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.ESCAPED_CHARS.append("$")
        block = Formula(r"(?<!\\)\$\$((?:\\.|[^$\\])+)\$\$", md, "block")
        inline = Formula(r"(?<![\\\w$])\$(?=\S)((?:\\.|[^$\\])+?)(?<=\S)\$(?![\w$])", md, "inline")
        md.inlinePatterns.register(
            block, "formula-block", 186
        )  # before escapes, which would eat TeX's backslashes
        md.inlinePatterns.register(inline, "formula", 185)


class Formula(InlineProcessor):
    def __init__(self, pattern: str, md: Markdown, display: str) -> None:
        super().__init__(pattern, md)
        self.display = display

    def handleMatch(self, m: Any, data: str) -> tuple[Element, int, int]:
        return element_of(m.group(1), self.display), m.start(0), m.end(0)


def element_of(tex: str, display: str) -> Element:
    """MathML of a formula; its source as code where it is none."""
    try:
        if len(tex) > MOST:
            raise ValueError("too long")
        converted = convert(tex.strip(), display=display)
        if "<!" in converted:  # no entities of its own
            raise ValueError("not MathML")
        found = ElementTree.fromstring(converted)  # noqa: S314  without a DTD
    except (Exception, RecursionError):  # whatever the converter stumbles over
        found = Element("code")
        found.text = AtomicString(f"${tex}$")
        return found
    for part in found.iter():
        part.tag = part.tag.rpartition("}")[2]
        part.text = AtomicString(part.text) if part.text else part.text
    return found
