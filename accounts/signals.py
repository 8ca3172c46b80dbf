"""What accounts announces; whoever listens works inside the same transaction."""

from django.dispatch import Signal

#: Sent with `workspace` and `now` when a workspace has been made.
workspace_created = Signal()

# Before the next three come true, whoever listens may raise a Problem: then nothing of it was done.

#: Sent with `user`, `workspace` and `now` before somebody becomes a team workspace's owner, with the user's row
#: held; the workspace is None while it is not made yet.
ownership_beginning = Signal()

#: Sent with `workspace`, `members` and `now` before somebody is invited or joins, with the workspace's row held;
#: `members` is how many there would be then.
member_joining = Signal()

#: Sent with `user`, `workspaces` and `now` before an account is deactivated, with the user's row held; the
#: workspaces are those that nobody else could sign in to.
account_ending = Signal()

#: Sent with `workspace` and `now` when its owner, or the owner's address, has become another.
payer_changed = Signal()

#: Sent with `workspace` and `now` when it has been closed for good.
workspace_closed = Signal()
