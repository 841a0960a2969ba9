"""HTML that cannot be broken by what it quotes: text is escaped unless it is markup already."""

from __future__ import annotations

from html import escape


class Markup(str):
    """HTML that was made by `element`, and is not escaped again."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str | int | float) -> Markup:
    """An element with what is in it; an attribute's trailing underscore is left out, others become hyphens.

    Example:
        >>> element("td", element("b", "A"), " <script>", class_="wide")
        '<td class="wide"><b>A</b> &lt;script&gt;</td>'
    """
    told = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    return Markup(f"<{name}{told}>{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Several after one another."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Markup:
    """A table that a narrow screen can move sideways."""
    header = element("tr", *(element("th", each, scope="col") for each in head))
    body = joined(*(element("tr", *(element("td", cell) for cell in row)) for row in rows))
    return element("div", element("table", element("thead", header), element("tbody", body)), class_="wide")
