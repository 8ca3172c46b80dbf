"""Where objects are kept: as JSON texts in memory, and in a journal of lines from which a restart reads them again.

A transaction is one line: it is there whole or not at all. A handler gets objects of its own and
changes them in place; at the end they are compared with what was kept, so nothing has to be marked.
A text takes a fifth of the memory that its object would.
"""

import json
import os
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from tests.fake_stripe.errors import StripeError, missing
from tests.fake_stripe.objects import Object

#: A journal that has grown this much is written anew at the next start or commit.
MOST_BYTES = 64 * 1024 * 1024
#: What is kept beyond so much is compressed, where it is worth it.
PLAIN_BYTES = 64 * 1024 * 1024
LONG = 1000
#: Fields by whose value objects of any kind are found without looking at all of them, where it is a string.
INDEXED = ("charge", "checkout_session", "customer", "email", "event", "invoice", "payment_intent", "source", "state")

Keys = tuple[str | None, ...]


@dataclass(slots=True)
class Kept:
    kind: str
    #: Grows from one object that was made to the next.
    position: int
    text: str | bytes


@dataclass(slots=True)
class Opened:
    """An object in a transaction, with what was kept of it when it was handed out."""

    obj: Object
    text: str | None = None
    keys: Keys = (None,) * len(INDEXED)
    is_removed: bool = False


class Store:
    """Objects by kind (their `object`) and id, in the order in which they were made."""

    def __init__(self, path: Path | None, *, plain_bytes: int = PLAIN_BYTES) -> None:
        """Without a path nothing is written down."""
        self.path = path
        self.plain_bytes = plain_bytes
        #: Of the texts, as they are kept.
        self.size = 0
        self._kept: dict[str, Kept] = {}
        self._ids: dict[str, dict[str, None]] = {}
        self._by_value: dict[tuple[str, str, str], dict[str, None]] = {}
        self._opened: dict[str, Opened] = {}
        self._watchers: dict[str, list[Callable[[Object], None]]] = {}
        self._is_open = False
        self._made = 0
        self._journal: TextIO | None = None
        self._load()
        self._compact()

    def add(self, obj: Object) -> Object:
        assert self._is_open, "Objects are made in a transaction."
        id = obj["id"]
        assert self.kind_of(id) is None, f"{id} is taken."
        known = self._opened.get(id)
        self._opened[id] = Opened(obj) if known is None else Opened(obj, known.text, known.keys)
        return obj

    def get(self, kind: str, id: str | None, *, param: str = "id", status: int = 404) -> Object:
        """Raises resource_missing. `status` is 404 for what a URL names and 400 for what a parameter names."""
        found = self.find(kind, id)
        if found is None:
            raise missing(kind, str(id), param=param, status=status)
        return found

    def find(self, kind: str, id: str | None) -> Object | None:
        """In a transaction to change: the same object each time. Else a copy."""
        return None if id is None or self.kind_of(id) != kind else self._open(id)

    def named(self, kind: str, id: str | None, param: str) -> Object:
        """What a parameter names."""
        return self.get(kind, id, param=param, status=400)

    def kind_of(self, id: str) -> str | None:
        opened = self._opened.get(id)
        if opened is not None:
            return None if opened.is_removed else str(opened.obj["object"])
        kept = self._kept.get(id)
        return None if kept is None else kept.kind

    def where(self, kind: str, **fields: Any) -> list[Object]:
        """To change: those whose fields have these values, oldest first."""
        found = list(self.all(kind, **fields))
        return [self._open(obj["id"]) for obj in found] if self._is_open else found

    def all(self, kind: str, **fields: Any) -> Iterator[Object]:
        """To read, oldest first. What is changed is fetched by `get` before."""
        return self._read(self._candidates(kind, fields), fields)

    def newest(self, kind: str, *, after: str | None = None, **fields: Any) -> Iterator[Object]:
        """To read, newest first, from the one that was made before `after`."""
        ids = self._candidates(kind, fields)
        return self._read(reversed(ids if after is None else ids[: self._place(ids, after)]), fields)

    def following(self, kind: str, before: str, **fields: Any) -> Iterator[Object]:
        """To read, oldest first, from the one that was made after `before`."""
        ids = self._candidates(kind, fields)
        return self._read((id for id in islice(ids, self._place(ids, before), None) if id != before), fields)

    def everything(self) -> Iterator[Object]:
        """To read, whatever its kind, oldest first."""
        for kept in sorted(self._kept.values(), key=lambda kept: kept.position):
            obj: Object = json.loads(_plain(kept.text))
            yield obj

    def remove(self, obj: Object) -> None:
        self._open(obj["id"])
        self._opened[obj["id"]].is_removed = True

    def watch(self, kinds: Iterable[str], look: Callable[[Object], None]) -> None:
        """`look` at every object of these kinds that is there, and at each that is committed from now on."""
        for kind in kinds:
            self._watchers.setdefault(kind, []).append(look)
            for obj in self.all(kind):
                look(obj)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything or nothing; a StripeError that keeps its effects is raised and committed all the same."""
        assert not self._is_open, "Transactions do not nest."
        self._is_open = True
        try:
            yield
        except StripeError as error:
            if error.keeps_effects:
                self._commit()
            raise
        else:
            self._commit()
        finally:
            self._is_open = False
            self._opened.clear()

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """What is done inside, within a transaction or not, is undone at its end."""
        was_open, before = self._is_open, self._snapshot()
        self._is_open = True
        try:
            yield
        finally:
            self._undo(before)
            self._is_open = was_open

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Within a transaction: what fails inside is undone, and the rest stays. A failure with effects keeps them."""
        assert self._is_open, "An attempt belongs to a transaction."
        before = self._snapshot()
        try:
            yield
        except BaseException as error:
            if not (isinstance(error, StripeError) and error.keeps_effects):
                self._undo(before)
            raise

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def reset(self) -> None:
        self._kept.clear()
        self._ids.clear()
        self._by_value.clear()
        self.size = 0
        self._compact()

    def _open(self, id: str) -> Object:
        opened = self._opened.get(id)
        if opened is not None:
            return opened.obj
        text = _plain(self._kept[id].text)
        obj: Object = json.loads(text)
        if self._is_open:
            self._opened[id] = Opened(obj, text, _keys(obj))
        return obj

    def _candidates(self, kind: str, fields: dict[str, Any]) -> list[str]:
        """Ids, oldest first, among which are all whose fields have these values; and what the transaction has."""
        named = ((kind, name, value) for name in INDEXED if isinstance(value := fields.get(name), str))
        key = next(named, None)
        ids = list(self._ids.get(kind, ())) if key is None else sorted(self._by_value.get(key, ()), key=self._position)
        if self._opened:
            among = set(ids)
            ours = [id for id, one in self._opened.items() if one.obj["object"] == kind and id not in among]
            ids += ours
            if any(id in self._kept for id in ours):
                # One that has the value since just now.
                ids.sort(key=self._position)
        return ids

    def _read(self, ids: Iterable[str], fields: dict[str, Any]) -> Iterator[Object]:
        for id in ids:
            opened = self._opened.get(id)
            if opened is not None and opened.is_removed:
                continue
            obj: Object = json.loads(_plain(self._kept[id].text)) if opened is None else opened.obj
            if all(obj.get(name) == value for name, value in fields.items()):
                yield obj

    def _position(self, id: str) -> int:
        """What is not kept yet is the newest, in the order in which it was made."""
        kept = self._kept.get(id)
        return self._made if kept is None else kept.position

    def _place(self, ids: list[str], id: str) -> int:
        return bisect_left(ids, self._position(id), key=self._position)

    def _snapshot(self) -> dict[str, tuple[str, bool]]:
        return {id: (_text(opened.obj), opened.is_removed) for id, opened in self._opened.items()}

    def _undo(self, before: dict[str, tuple[str, bool]]) -> None:
        """In place, because whoever began the transaction holds these objects."""
        self._opened = {id: opened for id, opened in self._opened.items() if id in before}
        for id, (text, is_removed) in before.items():
            opened = self._opened[id]
            opened.is_removed = is_removed
            opened.obj.clear()
            opened.obj.update(json.loads(text))

    def _commit(self) -> None:
        changed: dict[str, str | None] = {}
        for id, opened in self._opened.items():
            text = None if opened.is_removed else _text(opened.obj)
            if text == opened.text:
                continue
            changed[id] = text
            if text is None:
                self._forget(id, opened.keys)
            else:
                self._keep(opened.obj, text, opened.keys)
        if not changed:
            return
        if self._journal is not None:
            pairs = (f"{json.dumps(id)}:{text or 'null'}" for id, text in changed.items())
            self._journal.write(f"{{{','.join(pairs)}}}\n")
            self._journal.flush()
            if self._journal.tell() > MOST_BYTES + 4 * self._compacted_bytes:
                self._compact()
        for id in changed:
            opened = self._opened[id]
            for look in self._watchers.get(opened.obj["object"], ()):
                if not opened.is_removed:
                    look(opened.obj)

    def _keep(self, obj: Object, text: str, before: Keys) -> None:
        kind, id = obj["object"], obj["id"]
        kept = self._kept.get(id)
        if kept is None:
            kept = self._kept[id] = Kept(kind, self._made, b"")
            self._made += 1
            self._ids.setdefault(kind, {})[id] = None
        self.size -= len(kept.text)
        is_plain = self.size < self.plain_bytes or len(text) < LONG
        kept.text = text if is_plain else zlib.compress(text.encode(), 1)
        self.size += len(kept.text)
        self._index(kind, id, before, _keys(obj))

    def _forget(self, id: str, before: Keys) -> None:
        kept = self._kept.pop(id, None)
        if kept is not None:
            self.size -= len(kept.text)
            del self._ids[kept.kind][id]
            self._index(kept.kind, id, before, (None,) * len(INDEXED))

    def _index(self, kind: str, id: str, before: Keys, after: Keys) -> None:
        for name, old, new in zip(INDEXED, before, after, strict=True):
            if old == new:
                continue
            if old is not None:
                holders = self._by_value[kind, name, old]
                del holders[id]
                if not holders:
                    del self._by_value[kind, name, old]
            if new is not None:
                self._by_value.setdefault((kind, name, new), {})[id] = None

    def _load(self) -> None:
        if self.path is None or not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as journal:
            for line in journal:
                try:
                    changes = json.loads(line)
                except json.JSONDecodeError:
                    break  # The last line of a process that was killed while it wrote.
                for id, obj in changes.items():
                    kept = self._kept.get(id)
                    before = _keys(json.loads(_plain(kept.text))) if kept else (None,) * len(INDEXED)
                    if obj is None:
                        self._forget(id, before)
                    else:
                        self._keep(obj, _text(obj), before)

    def _compact(self) -> None:
        """One line for each object, oldest first; the file is replaced in one step."""
        if self.path is None:
            return
        unfinished = self.path.with_name(self.path.name + ".new")
        with unfinished.open("w", encoding="utf-8") as journal:
            for id, kept in self._kept.items():
                journal.write(f"{{{json.dumps(id)}:{_plain(kept.text)}}}\n")
            self._compacted_bytes = journal.tell()
        self.close()
        os.replace(unfinished, self.path)  # noqa: PTH105 - the atomic rename by its own name
        self._journal = self.path.open("a", encoding="utf-8")


_text = json.JSONEncoder(separators=(",", ":")).encode


def _plain(text: str | bytes) -> str:
    return text if isinstance(text, str) else zlib.decompress(text).decode()


def _keys(obj: Object) -> Keys:
    return tuple(value if isinstance(value := obj.get(name), str) else None for name in INDEXED)
