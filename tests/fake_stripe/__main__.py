"""`python -m tests.fake_stripe --port 12111 --state-dir .data/stripe`: the stand-in as a process of its own."""

import argparse
import fcntl
import signal
import sys
import threading
from pathlib import Path

from tests.fake_stripe import description
from tests.fake_stripe.description import Checker, DescriptionMissing
from tests.fake_stripe.server import Server
from tests.fake_stripe.world import Settings, World

HOST = "127.0.0.1"


def main() -> None:
    options = parse()
    options.state_dir.mkdir(parents=True, exist_ok=True)
    with (options.state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"Another stand-in uses {options.state_dir}.")
        try:
            checker = description.load() if options.check else Checker()
        except DescriptionMissing as error:
            sys.exit(str(error))
        serve(options, checker)


def serve(options: argparse.Namespace, checker: Checker) -> None:
    settings = Settings(
        state=options.state_dir,
        base_url=options.base_url or f"http://{HOST}:{options.port}",
        api_key=options.api_key,
        webhook_url=options.webhook_url,
        webhook_secret=options.webhook_secret,
        is_written=not options.in_memory,
    )
    try:
        server = Server((HOST, options.port), World(settings, checker))
    except OSError as error:
        sys.exit(f"Port {options.port} cannot be used: {error.strerror}.")
    for number in (signal.SIGTERM, signal.SIGINT):
        # `shutdown` waits for the loop that this very thread runs.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"The stand-in for Stripe listens on {settings.base_url}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.sender.end()
    server.server_close()
    with server.world.lock:
        server.world.store.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_stripe", description="A stand-in for Stripe.")
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--state-dir", type=Path, default=Path(".data/stripe"))
    parser.add_argument("--in-memory", action="store_true", help="write down the clock alone")
    parser.add_argument("--base-url", help="where a browser finds it, if not at http://127.0.0.1:PORT")
    parser.add_argument("--webhook-url", help="where events are delivered")
    parser.add_argument("--webhook-secret", help="what deliveries are signed with, whsec_...")
    parser.add_argument("--api-key", help="the only key that is taken; without it any test key")
    parser.add_argument("--check", action="store_true", help="hold everything against Stripe's own description")
    options = parser.parse_args()
    if bool(options.webhook_url) != bool(options.webhook_secret):
        parser.error("--webhook-url and --webhook-secret are given together or not at all.")
    return options


if __name__ == "__main__":
    main()
