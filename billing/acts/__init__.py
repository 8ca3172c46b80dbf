"""Acts of staff, by name: what the desk can do to a workspace and to a person."""

from typing import Any

from billing.acts import invoices, people, workspaces
from billing.acts.act import Act, NotAllowed, PersonAct, Wish, WorkspaceAct

WORKSPACE: dict[str, WorkspaceAct] = {act.name: act() for act in (*workspaces.ALL, *invoices.ALL)}
PERSON: dict[str, PersonAct] = {act.name: act() for act in people.ALL}
BY_NAME: dict[str, Act[Any]] = {**WORKSPACE, **PERSON}

__all__ = ["BY_NAME", "PERSON", "WORKSPACE", "Act", "NotAllowed", "PersonAct", "Wish", "WorkspaceAct"]
