"""Load from other processes: wrk as fast as it goes, a client at a steady rate, and pgbench."""

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.files import LaunchError
from deploy.postgres import binary, plain_environment
from tests.bench.server import ROOT, SCRATCH
from tests.fake_stripe.webhooks import signature

CONNECTIONS = 16
BODY = '{"prompt": "Summarise the news of the day."}'
# Of Stripe's events more than any server here takes in, so that none is sent twice.
MOST_A_SECOND = 6_000
EVENT_ID = "evt_of_the_benchmark"
DONE = """
function done(summary, latency)
  local errors = summary.errors
  print(string.format('{"requests": %d, "micros": %d, "other": %d, "lost": %d, "median": %f}',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50)))
end
"""
SCRIPT = """
local requests, next_one = {{}}, 0
function init()
  for token in io.lines("{tokens}") do
    requests[#requests + 1] = wrk.format("{method}", "{path}", {{
      ["Authorization"] = "Bearer " .. token,
      ["Content-Type"] = "application/json",
      ["X-Forwarded-Proto"] = "https",
    }}, {body})
  end
end
function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end
"""
SIGNED_SCRIPT = """
local next_line
function init()
  next_line = io.lines("{events}")
end
function request()
  local signature, body = next_line():match("^(.-)\\t(.*)$")
  return wrk.format("POST", "{path}", {{
    ["Content-Type"] = "application/json",
    ["Stripe-Signature"] = signature,
  }}, body)
end
"""


@dataclass(frozen=True)
class Target:
    """What is asked for, by whom, and whether a refusal is the right answer."""

    name: str
    api: str
    path: str
    tokens: Sequence[str]
    method: str = "POST"
    is_refused: bool = False

    @property
    def url(self) -> str:
        return f"{self.api}{self.path}"

    @property
    def tokens_file(self) -> Path:
        file = SCRATCH / f"bench-{self.name}.tokens"
        file.write_text("".join(f"{token}\n" for token in self.tokens))
        return file

    def script(self, seconds: int) -> str:
        return SCRIPT.format(
            tokens=self.tokens_file,
            method=self.method,
            path=path_of(self.url),
            body=f"'{BODY}'" if self.method == "POST" else "nil",
        )


@dataclass(frozen=True)
class Deliveries:
    """Stripe's events, each sent once: these again and again under new ids, and signed just now."""

    name: str
    url: str
    secret: str
    events: Sequence[str]
    is_refused: bool = False

    def script(self, seconds: int) -> str:
        file = SCRATCH / f"bench-{self.name}.events"
        with file.open("w") as lines:
            for number in range(MOST_A_SECOND * seconds):
                body = self.events[number % len(self.events)].replace(EVENT_ID, f"evt_{secrets.token_hex(12)}", 1)
                lines.write(f"{signature(body.encode(), self.secret, int(time.time()))}\t{body}\n")
        return SIGNED_SCRIPT.format(events=file, path=path_of(self.url))


@dataclass(frozen=True)
class Load:
    """Requests a second, and the median latency in milliseconds."""

    rate: float
    median: float


def wrk(target: Target | Deliveries, seconds: int, *, connections: int = CONNECTIONS) -> Load:
    """Raises LaunchError when an answer was not of the expected kind, so that no error is measured as speed."""
    script = SCRATCH / f"bench-{target.name}.lua"
    script.write_text(target.script(seconds) + DONE)
    output = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=30s", f"--script={script}", target.url])
    found = json.loads(output.strip().splitlines()[-1])
    expected = found["requests"] if target.is_refused else 0
    if found["lost"] or found["other"] != expected:
        raise LaunchError(f"{target.name}: {found['other']} of {found['requests']} answers were errors; {output}")
    return Load(found["requests"] / found["micros"] * 1e6, found["median"] / 1000)


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def steady(target: Target, rate: float, seconds: float) -> float:
    """The 99th percentile in milliseconds at so many requests a second, each counted from when it was due."""
    client = [sys.executable, "-m", "tests.bench.steady", target.url, str(target.tokens_file), str(rate), str(seconds)]
    return float(json.loads(run(client))["p99"])


def pgbench(database_url: str, scripts: Sequence[str], seconds: int, name: str) -> float:
    """Transactions a second of eight clients that pick a script at random."""
    folder = SCRATCH / f"bench-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    options: list[str] = []
    for number, script in enumerate(scripts):
        file = folder / f"{number}.sql"
        file.write_text(script)
        options.append(f"--file={file}")
    command = [str(binary("pgbench")), "--no-vacuum", "--protocol=prepared", "--client=8", f"--time={seconds}"]
    output = run([*command, *options, database_url])
    found = re.search(r"tps = ([\d.]+)", output)
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if found is None or failed is None or int(failed[1]):
        raise LaunchError(f"pgbench: {output}")
    return float(found[1])


def run(command: Sequence[str]) -> str:
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise LaunchError(f"{Path(command[0]).name} failed:\n{finished.stdout}")
    return finished.stdout
