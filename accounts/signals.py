"""What accounts announces; whoever listens works inside the same transaction."""

from django.dispatch import Signal

#: Sent with `workspace` and `now` when a workspace has been made.
workspace_created = Signal()
