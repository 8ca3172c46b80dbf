"""What a reconciliation found, and what became of it."""

from dataclasses import dataclass, field

from billing.drift import Difference


@dataclass(frozen=True)
class Drift(Difference):
    """`workspace` is its label, `workspace_id` empty where an operation is no workspace's."""

    workspace: str
    workspace_id: str = ""


@dataclass(frozen=True)
class Orphan:
    """`sentence` says what it is and what staff can do about it."""

    kind: str
    id: str
    sentence: str


@dataclass(frozen=True)
class Failure:
    subject: str
    sentence: str


@dataclass
class Outcome:
    """`drifted` and `mended` count workspaces and operations; `drifts` has the differences, up to MOST_LISTED."""

    workspaces: int = 0
    drifted: int = 0
    mended: int = 0
    drifts: list[Drift] = field(default_factory=list)
    differences: int = 0
    orphans: list[Orphan] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return self.drifted == self.mended and not self.orphans and not self.failures
