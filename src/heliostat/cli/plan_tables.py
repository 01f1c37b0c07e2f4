"""What people see of a plan: field by field what would become of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .output import Table, first_line

if TYPE_CHECKING:
    from heliostat.client.models import FieldChange, Plan

EFFECTS = {
    "in_place": "in place",
    "new_nodes": "for new nodes",
    "restart": "needs a restart",
    "next_start": "at the next start",
    "cosmetic": "at once",
}


def changes(plan: Plan) -> Table:
    rows = [_row(row) for row in plan.changes]
    rows += [_row(row, "still ") for row in plan.pending if row.path not in {one.path for one in plan.changes}]
    rows += [(row.path or "-", "", "", "refused", first_line(row.message)) for row in plan.refused]
    return Table(("FIELD", "NOW", "THEN", "EFFECT", "NOTE"), tuple(rows), whole=True)


def summary(plan: Plan) -> Iterator[str]:
    """What it comes to, line by line."""
    if plan.refused:
        yield f"{plan.name} would be left as it is: {len(plan.refused)} of the fields are refused"
        return
    if plan.action == "create":
        yield f"{plan.name} would be made"
    elif plan.action == "nothing":
        yield f"{plan.name} is as the definition says already"
    else:
        yield f"{plan.name} would be changed from generation {plan.generation}"
    for finding in plan.findings:
        yield f"  {finding.path} is {finding.verdict}: {finding.message}"
    if not plan.restart:
        return
    if plan.beyond_rolling:
        told = ", ".join(row.path for row in plan.beyond_rolling[:5])
        yield f"a restart is needed, and a rolling one is not enough for: {told}"
    else:
        yield "a restart is needed; a rolling one will do"


def _row(row: FieldChange, before: str = "") -> tuple[str, ...]:
    return (row.path, _text(row.before), _text(row.after), f"{before}{EFFECTS.get(row.effect, row.effect)}", row.note)


def _text(value: str | int | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else first_line(str(value))
