"""How p-values and numbers of items are written."""

from __future__ import annotations

from terakoya.i18n import _

LEAST_P = 0.0001  # smaller p-values are written as a bound


def p_text(p: float) -> str:
    """A p-value as a message; never "p = 0".

    p  of a test
    """
    return _("p < .0001") if p < LEAST_P else _("p = {p:.2g}", p=p)


def items_text(n: int, groups: int = 0) -> str:
    """A number of items as a message, with the number of groups where items lie in groups.

    n       items
    groups  of them; 0 where every item is independent of the others
    """
    if groups and groups != n:
        return _("{n} items in {groups} groups", n=n, groups=groups)
    return _("{n} items", n=n)
