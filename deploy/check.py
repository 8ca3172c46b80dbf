"""Every check that needs no test: each step prints its name, and the first that fails its output."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# No step needs a database; this one refuses at once.
NO_DATABASE = "postgres://nobody:nothing@127.0.0.1:1/none"
PRODUCTION = {
    "SECRET_KEY": "only-for-checks-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
    "DATABASE_URL": NO_DATABASE,
    "ALLOWED_HOSTS": "app.example.com",
    "SITE_URL": "https://app.example.com",
    "EMAIL_URL": "smtp+tls://user:password@mail.example.com:587",
    "REDIS_URL": "redis://cache.example.com:6379/0",
    "JWT_SIGNING_KEYS": "k1:only-for-checks-" + "9876543210zyxwvutsrqponmlkjihgfedcba" * 2,
    "STRIPE_SECRET_KEY": "sk_live_" + "OnlyForChecks" * 2,
    "STRIPE_WEBHOOK_SECRET": "whsec_only_for_checks",
    "DEBUG": "off",
}
# Left in the environment, they would check another configuration than the one above.
FOREIGN = ("CLOCK_OFFSET_FILE", "RATE_LIMITS", "STRIPE_API_HOST", "STRIPE_LOG", "TRUSTED_PROXIES")


@dataclass
class Step:
    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def main() -> None:
    for step in steps():
        started = time.monotonic()
        print(f"{step.name:<30}", end="", flush=True)
        finished = subprocess.run(
            step.command,
            cwd=ROOT,
            env=environment() | step.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            print(f"failed\n\n{finished.stdout.strip()}\n\n{step.name} failed.")
            sys.exit(1)
        print(f"ok  {time.monotonic() - started:5.1f} s", flush=True)


def steps() -> list[Step]:
    python = [sys.executable]
    manage = [*python, "manage.py"]
    return [
        Step("ruff check", [*python, "-m", "ruff", "check", "."]),
        Step("ruff format", [*python, "-m", "ruff", "format", "--check", "."]),
        Step("mypy --strict", [*python, "-m", "mypy"]),
        Step("import rules", [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]),
        Step(
            "migrations match the models",
            [*manage, "makemigrations", "--check", "--dry-run"],
            # Without a database it cannot compare with what is applied there, and warns of that.
            {"PYTHONWARNINGS": "ignore::RuntimeWarning"},
        ),
        Step("translations", [*python, "-m", "deploy.translations"]),
        Step("production settings", [*manage, "check", "--deploy", "--fail-level=WARNING"]),
        Step(
            "API description",
            [*manage, "spectacular", "--validate", "--fail-on-warn", f"--file={os.devnull}"],
        ),
        *compose_steps(),
    ]


def compose_steps() -> list[Step]:
    """Against the Compose Specification's schema, and by Docker itself where it is installed."""
    schema = ["check_jsonschema", "--builtin-schema=vendor.compose-spec", "docker-compose.yml"]
    steps = [Step("compose file, by its schema", [sys.executable, "-m", *schema])]
    if has_docker_compose():
        by_docker = ["docker", "compose", "config", "--quiet"]
        steps.append(Step("compose file, by docker", by_docker, {"POSTGRES_PASSWORD": "none"}))
    return steps


def has_docker_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "compose", "version"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return kept | PRODUCTION


if __name__ == "__main__":
    main()
