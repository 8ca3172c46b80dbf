"""Who you are: people, the workspaces that own everything, and who belongs to which."""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.indexes import OpClass
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import UUID7, Lower, Upper
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts import clock, signals
from accounts.addresses import person_hash


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    MEMBER = "member", _("Member")


class UserManager(BaseUserManager["User"]):
    """Every user that these make has a personal workspace from the same transaction on."""

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """The address as it is kept: trimmed and in lower case, which makes it unique whatever its case."""
        return (email or "").strip().lower()

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=self.normalize_email(username))

    @transaction.atomic
    def create_user(
        self, email: str, password: str | None = None, *, fullname: str = "", now: datetime | None = None, **extra: Any
    ) -> "User":
        """Raises IntegrityError when the address is taken."""
        now = now or clock.now()
        user = self.model(fullname=fullname, created_at=now, **extra)
        user.set_email(email)
        user.set_password(password)
        user.save(force_insert=True, using=self._db)
        Workspace.objects.open(name=fullname or user.email, owner=user, now=now, personal=True)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> "User":
        """Whoever has a shell on the server vouches for the address."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, is_email_verified=True, **extra)


class User(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    email = models.EmailField(unique=True, error_messages={"unique": "This e-mail address is already registered."})
    # Equal for all spellings of one mailbox; what a person may have once is kept by it.
    person_hash = models.CharField(max_length=64, editable=False)
    fullname = models.CharField("full name", max_length=150)
    is_email_verified = models.BooleanField(default=False)
    is_staff = models.BooleanField(default=False, help_text="May sign in to the admin.")
    is_active = models.BooleanField(default=True, help_text="Switch off instead of deleting the account.")
    # The address that was asked for and is not proven yet; `email` stays until it is.
    pending_email = models.EmailField(blank=True, db_default="", default="", editable=False)
    # Of mails; empty until somebody chose one.
    language = models.CharField(max_length=10, blank=True, editable=False)
    # Carried by access tokens and compared on every request; raising it ends them all at once.
    auth_epoch = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["fullname"]

    class Meta:
        # What staff may do to people's accounts.
        permissions: ClassVar = [
            ("help_person", "Can help a person to sign in again"),
            ("sign_in_as", "Can look at pages as a person sees them"),
            ("decide_person", "Can decide who has an account and a workspace"),
            ("appoint_staff", "Can appoint staff"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_is_lower_case"),
        ]
        indexes: ClassVar = [
            models.Index(OpClass(Upper("fullname"), "text_pattern_ops"), name="user_by_fullname"),
            models.Index(fields=["-id"], condition=Q(is_staff=True), name="user_staff"),
            models.Index(fields=["-id"], condition=Q(is_active=False), name="user_inactive"),
        ]

    def __str__(self) -> str:
        return self.email

    def set_email(self, email: str) -> None:
        self.email = UserManager.normalize_email(email)
        self.person_hash = person_hash(self.email)

    def get_full_name(self) -> str:
        return self.fullname

    def get_short_name(self) -> str:
        return self.fullname.partition(" ")[0]

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # With the epoch in it, whatever ends access tokens ends browser sessions too.
        return salted_hmac(
            "accounts.User.session", f"{self.password}:{self.auth_epoch}", secret=secret, algorithm="sha256"
        ).hexdigest()

    def end_access_tokens(self) -> None:
        """Access tokens issued until now stop at once; refresh tokens are revoked by `tokens.revoke_families`."""
        User.objects.filter(pk=self.pk).update(auth_epoch=F("auth_epoch") + 1)
        self.refresh_from_db(fields=["auth_epoch"])


class WorkspaceManager(models.Manager["Workspace"]):
    @transaction.atomic
    def open(self, *, name: str, owner: User, now: datetime, personal: bool = False) -> "Workspace":
        """Make a workspace with its owner, and announce it so that its Subscription exists too."""
        workspace = self.create(name=name[:150], personal_user=owner if personal else None, created_at=now)
        Membership.objects.create(workspace=workspace, user=owner, role=Role.OWNER, created_at=now)
        Ownership.objects.create(workspace=workspace, user=owner, since=now)
        signals.workspace_created.send(sender=Workspace, workspace=workspace, now=now)
        return workspace


class Workspace(models.Model):
    """The tenant."""

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    name = models.CharField(max_length=150)
    personal_user = models.OneToOneField(
        User, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="personal_workspace"
    )
    may_admins_bill = models.BooleanField(
        default=False, help_text="Admins may buy, change and cancel the plan, as the owner may."
    )
    suspended_at = models.DateTimeField(null=True, blank=True, help_text="While set, every write is refused.")
    # Closed for good: nobody gets in, and its history stays.
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    members = models.ManyToManyField(User, through="Membership", related_name="workspaces")

    objects: ClassVar[WorkspaceManager] = WorkspaceManager()

    class Meta:
        indexes: ClassVar = [
            models.Index(OpClass(Upper("name"), "text_pattern_ops"), name="workspace_by_name"),
            models.Index(fields=["-id"], condition=Q(suspended_at__isnull=False), name="workspace_suspended"),
            models.Index(fields=["-id"], condition=Q(closed_at__isnull=False), name="workspace_closed"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_personal(self) -> bool:
        return self.personal_user_id is not None

    @property
    def owner(self) -> User:
        return self.members.get(membership__role=Role.OWNER)

    @property
    def email(self) -> str:
        """The owner's address, to which invoices go."""
        return self.owner.email


class Membership(models.Model):
    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT)
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "user"], name="membership_once"),
            # Invariant 14: with an owner who is one and only one, nobody pays for what nobody can use.
            models.UniqueConstraint(fields=["workspace"], condition=Q(role=Role.OWNER), name="membership_one_owner"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} of {self.workspace_id}"


class Ownership(models.Model):
    """That a user owns or once owned a workspace: what has been used once stays used in all of them."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="ownerships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="ownerships")
    since = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "user"], name="ownership_once")]

    def __str__(self) -> str:
        return f"{self.user_id} has owned {self.workspace_id}"


class Invitation(models.Model):
    """Into a team, for whoever opens the mailed link or has the address proven; instants by the wall clock."""

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False)
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    # The token itself is in the mail alone; empty until the worker has made it.
    token_hash = models.BinaryField(max_length=32, null=True, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["workspace", "-created_at"], name="invitation_by_workspace"),
            models.Index(
                fields=["email"], condition=Q(accepted_at=None, withdrawn_at=None), name="invitation_open_by_email"
            ),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "email"],
                condition=Q(accepted_at=None, withdrawn_at=None),
                name="invitation_once_while_open",
            ),
            models.CheckConstraint(condition=Q(role__in=[Role.ADMIN, Role.MEMBER]), name="invitation_role_is_given"),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="invitation_email_is_lower_case"),
        ]

    def __str__(self) -> str:
        return f"{self.email} into {self.workspace_id}"


class MembershipChange(models.Model):
    """Append-only: who came into a workspace, left it or got another role, and by whom. An empty role is none."""

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    actor = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField()
    before = models.CharField(max_length=10, choices=Role, blank=True)
    after = models.CharField(max_length=10, choices=Role, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="membership_change_by_workspace")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.workspace_id}: {self.before or 'nobody'} to {self.after or 'nobody'}"


class TokenFamily(models.Model):
    """One sign-in. Revoking it ends every refresh token that descends from it, also one being made just now."""

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    # As the program names itself, for its owner to know it by.
    user_agent = models.CharField(max_length=200, blank=True, db_default="", default="")
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.id)


class RefreshToken(models.Model):
    """A refresh token that was given out, as a hash; it can be exchanged once."""

    jti = models.UUIDField(primary_key=True, default=uuid.uuid4)
    family = models.ForeignKey(TokenFamily, on_delete=models.CASCADE, related_name="tokens")
    token_hash = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.jti)


class Attempt(models.Model):
    """A try that a guard counts, by the wall clock; the subject is hashed."""

    scope = models.CharField(max_length=40)
    subject = models.BinaryField(max_length=32)
    at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["scope", "subject", "at"], name="attempt_by_subject")]

    def __str__(self) -> str:
        return f"{self.scope} at {self.at}"


class IdempotentRequest(models.Model):
    """The stored answer to a request that carried an Idempotency-Key; see `idempotency`."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, db_index=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_index=False)
    path = models.CharField(max_length=100)
    key = models.CharField(max_length=255)
    body_hash = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "workspace", "path", "key"], name="idempotent_request_once"),
        ]

    def __str__(self) -> str:
        return f"{self.path} {self.key}"
