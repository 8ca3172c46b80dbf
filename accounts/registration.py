"""Signing up: one set of rules for the page and for the API."""

from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction

from accounts import clock, guards, jobs
from accounts.models import User


def register(*, address: str, email: str, password: str, fullname: str, language: str) -> User | None:
    """Make the account with its personal workspace, and have the address verified by mail.

    None when the address has an account: its password is hashed then too, so that the time tells nothing.
    `address` is the network's. Raises TooManyTries, and ValidationError with what is wrong with the password.
    """
    guards.count(guards.REGISTRATION, address)
    applicant = User(fullname=fullname)
    applicant.set_email(email)
    validate_password(password, applicant)
    if User.objects.filter(email=applicant.email).exists():
        applicant.set_password(password)
        return None
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, fullname=fullname, language=language, now=clock.now())
            jobs.send_verification.defer(user_id=str(user.pk))
    except IntegrityError:
        # Somebody registered the address between the look and the insert.
        return None
    return user


def verify_again(user: User) -> None:
    """Mail the link once more, until the address is verified. Raises TooManyTries."""
    if not user.is_email_verified:
        guards.count(guards.VERIFICATION, str(user.pk))
        jobs.send_verification.defer(user_id=str(user.pk))
