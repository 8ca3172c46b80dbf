"""Where objects are kept: in memory, and in a journal of JSON lines from which a restart reads them again.

A transaction is one line: it is there whole or not at all. A handler changes what it gets in
place; the store compares what was touched with what it wrote last, so nothing has to be marked.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tests.fake_stripe.errors import StripeError, missing
from tests.fake_stripe.objects import Object

#: A journal that has grown this much is written anew at the next start or commit.
MOST_BYTES = 64 * 1024 * 1024


class Store:
    """Objects by kind (their `object`) and id, in the order in which they were made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kinds: dict[str, dict[str, Object]] = {}
        self._kind_of: dict[str, str] = {}
        self._written: dict[str, str] = {}
        #: In the order of the first touch, so that the journal has new objects in the order in which they were made.
        self._touched: dict[str, None] = {}
        #: Ids of what was committed since somebody looked.
        self.changed: set[str] = set()
        self._is_open = False
        self._journal: TextIO | None = None
        self._load()
        self._compact()

    def add(self, obj: Object) -> Object:
        assert self._is_open, "Objects are made in a transaction."
        kind, id = obj["object"], obj["id"]
        assert id not in self._kind_of, f"{id} is taken."
        self._kinds.setdefault(kind, {})[id] = obj
        self._kind_of[id] = kind
        self._touched[id] = None
        return obj

    def get(self, kind: str, id: str | None, *, param: str = "id", status: int = 404) -> Object:
        """Raises resource_missing. `status` is 404 for what a URL names and 400 for what a parameter names."""
        found = self.find(kind, id)
        if found is None:
            raise missing(kind, str(id), param=param, status=status)
        return found

    def find(self, kind: str, id: str | None) -> Object | None:
        found = self._kinds.get(kind, {}).get(id or "")
        if found is not None and self._is_open:
            self._touched[found["id"]] = None
        return found

    def named(self, kind: str, id: str | None, param: str) -> Object:
        """What a parameter names."""
        return self.get(kind, id, param=param, status=400)

    def kind_of(self, id: str) -> str | None:
        return self._kind_of.get(id)

    def all(self, kind: str) -> list[Object]:
        """To read, oldest first. What is changed is fetched by `get` before."""
        return list(self._kinds.get(kind, {}).values())

    def where(self, kind: str, **fields: Any) -> list[Object]:
        """To change: those whose fields have these values, oldest first."""
        found = [
            obj
            for obj in self._kinds.get(kind, {}).values()
            if all(obj.get(name) == value for name, value in fields.items())
        ]
        if self._is_open:
            self._touched.update((obj["id"], None) for obj in found)
        return found

    def remove(self, obj: Object) -> None:
        id = obj["id"]
        del self._kinds[self._kind_of.pop(id)][id]
        self._touched[id] = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything or nothing; a StripeError that keeps its effects is raised and committed all the same."""
        assert not self._is_open, "Transactions do not nest."
        self._is_open = True
        try:
            yield
        except BaseException as error:
            if not (isinstance(error, StripeError) and error.keeps_effects):
                self._roll_back()
                raise
            self._commit()
            raise
        else:
            self._commit()
        finally:
            self._is_open = False
            self._touched.clear()

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """What is done inside, within a transaction or not, is undone at its end."""
        outer, was_open = self._touched, self._is_open
        before = {id: json.dumps(self._kinds[kind][id]) for id, kind in self._kind_of.items() if id in outer}
        self._touched, self._is_open = {}, True
        try:
            yield
        finally:
            self._restore(self._touched, before)
            self._touched, self._is_open = outer, was_open

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Within a transaction: what fails inside is undone, and the rest stays. A failure with effects keeps them."""
        assert self._is_open, "An attempt belongs to a transaction."
        outer = self._touched
        before = {id: json.dumps(self._kinds[kind][id]) for id in outer if (kind := self._kind_of.get(id))}
        self._touched = {}
        try:
            yield
        except BaseException as error:
            if not (isinstance(error, StripeError) and error.keeps_effects):
                self._restore(self._touched, before)
            raise
        finally:
            self._touched = outer | self._touched

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def reset(self) -> None:
        self._kinds.clear()
        self._kind_of.clear()
        self._written.clear()
        self.changed.clear()
        self._compact()

    def _commit(self) -> None:
        changes: dict[str, Any] = {}
        for id in self._touched:
            kind = self._kind_of.get(id)
            text = json.dumps(self._kinds[kind][id], separators=(",", ":")) if kind else None
            if text == self._written.get(id):
                continue
            changes[id] = self._kinds[kind][id] if kind else None
            if text is None:
                self._written.pop(id, None)
            else:
                self._written[id] = text
        if changes:
            self.changed.update(changes)
            assert self._journal is not None
            self._journal.write(json.dumps(changes, separators=(",", ":")) + "\n")
            self._journal.flush()
            if self._journal.tell() > MOST_BYTES + 4 * self._live_bytes:
                self._compact()

    def _roll_back(self) -> None:
        self._restore(self._touched, self._written)

    def _restore(self, ids: Iterable[str], texts: dict[str, str]) -> None:
        for id in ids:
            kind = self._kind_of.get(id)
            text = texts.get(id, self._written.get(id))
            if text is not None:
                obj = json.loads(text)
                # In place, so that the order of its kind stays.
                self._kinds.setdefault(obj["object"], {})[id] = obj
                self._kind_of[id] = obj["object"]
            elif kind is not None:
                del self._kinds[kind][id]
                del self._kind_of[id]

    def _load(self) -> None:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as journal:
            for line in journal:
                try:
                    changes = json.loads(line)
                except json.JSONDecodeError:
                    break  # The last line of a process that was killed while it wrote.
                for id, obj in changes.items():
                    kind = self._kind_of.pop(id, None) if obj is None else obj["object"]
                    if obj is not None:
                        self._kinds.setdefault(obj["object"], {})[id] = obj
                        self._kind_of[id] = obj["object"]
                    elif kind is not None:
                        del self._kinds[kind][id]

    def _compact(self) -> None:
        """One line for each object, oldest first; the file is replaced in one step."""
        self._written = {
            id: json.dumps(obj, separators=(",", ":")) for kind in self._kinds.values() for id, obj in kind.items()
        }
        unfinished = self.path.with_name(self.path.name + ".new")
        with unfinished.open("w", encoding="utf-8") as journal:
            for id, text in self._written.items():
                journal.write(f"{{{json.dumps(id)}:{text}}}\n")
            self._live_bytes = journal.tell()
        self.close()
        os.replace(unfinished, self.path)  # noqa: PTH105 - the atomic rename by its own name
        self._journal = self.path.open("a", encoding="utf-8")
