"""What an act of staff is: it asks for a reason, says what it will do, does it once, and leaves an audit entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from accounts.errors import Problem
from accounts.models import User
from billing import roles
from billing.acts.forms import ActForm
from billing.models import Subscription

type Data = Mapping[str, Any]


class NotAllowed(Problem):
    """The role does not reach so far."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "role_required", status=403)


@dataclass(frozen=True)
class Wish:
    """Who wants it, why, when, and with what (`data`, a form's cleaned data)."""

    data: Data
    reason: str
    actor: User
    now: datetime
    # Of the browser, where there is one: some acts are about it.
    request: Any = field(default=None, compare=False)

    @property
    def by(self) -> dict[str, Any]:
        """As the functions of `lifecycle` take it."""
        return {"reason": self.reason, "actor": self.actor, "now": self.now}


class Act[Target]:
    """One thing that staff can do to a `Target`. `name` is in addresses; `permission` is the role's."""

    name: ClassVar[str]
    label: ClassVar[str]
    explanation: ClassVar[str]
    permission: ClassVar[str]
    form: ClassVar[type[ActForm]] = ActForm
    # Moves money, or somebody's account: asks for a fresh sign-in.
    is_grave: ClassVar[bool] = False
    # Takes something away: its button says so.
    is_harsh: ClassVar[bool] = False
    is_for_many: ClassVar[bool] = False
    # Reaches beyond the database, where no rollback undoes it.
    is_at_stripe: ClassVar[bool] = False
    group: ClassVar[str] = ""

    def may(self, user: User) -> bool:
        return user.has_perm(self.permission)

    def is_offered(self, target: Target, now: datetime) -> bool:
        """Whether it would do anything; an act that is not offered can still be asked for, and says why it will not."""
        return True

    def form_arguments(self, target: Target | None, now: datetime) -> dict[str, Any]:
        return {}

    def refuse(self, actor: User, data: Data) -> None:
        """Raises NotAllowed for what is beyond the actor's role."""

    def notes(self, target: Target, now: datetime) -> Sequence[str]:
        """What is to be known before it is done."""
        return ()

    def foresee(self, target: Target, data: Data, now: datetime) -> str:
        """What it would do, in a sentence. Raises Problem or ValueError where it would be refused."""
        return self.label

    def carry_out(self, target: Target, wish: Wish) -> str:
        """Do it; what was done, in a sentence. Raises Problem or ValueError, and then nothing was."""
        raise NotImplementedError

    def page_after(self, target: Target) -> str | None:
        """Where it leads elsewhere than back."""
        return None


class WorkspaceAct(Act[Subscription]):
    pass


class PersonAct(Act[User]):
    pass


def refuse_runs(actor: User, runs: int) -> None:
    most = roles.most_runs(actor)
    if most is not None and runs > most:
        raise NotAllowed(f"Your role gives or takes at most {most:,} runs in one act. Ask somebody of a higher role.")


def refuse_money(actor: User, amount: int, in_words: str) -> None:
    """`amount` in minor units."""
    most = roles.most_money(actor)
    if most is not None and amount > most:
        raise NotAllowed(f"{in_words} is more than your role moves in one act. Ask somebody of the admin role.")
