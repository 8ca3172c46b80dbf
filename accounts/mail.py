"""How mails look in the demo's terminal."""

from django.core.mail import EmailMessage
from django.core.mail.backends.console import EmailBackend


class ReadableConsole(EmailBackend):
    """Writes a mail as a person reads it; Django's own breaks long links in the middle, as they travel."""

    def write_message(self, message: EmailMessage) -> None:
        rule = "-" * 72
        to = ", ".join(message.recipients())
        body = str(message.body).rstrip()
        self.stream.write(f"{rule}\nTo: {to}\nSubject: {message.subject}\n\n{body}\n{rule}\n")
