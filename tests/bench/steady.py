"""`python -m tests.bench.steady URL TOKENS RATE SECONDS` asks at a steady rate, whether the answers come or not.

A load generator that waits for an answer before it asks again asks less when the server is slow, and so
hides what it is meant to show. Here a request is due at its instant, and its latency counts from then.
"""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.load import BODY

CONNECTIONS = 32


async def main(url: str, tokens: list[str], rate: float, seconds: float) -> dict[str, float]:
    address = urlsplit(url)
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection(address.hostname, address.port))
    clock = asyncio.get_running_loop().time
    begin = clock() + 0.1

    async def ask(number: int) -> float:
        due = begin + number / rate
        await asyncio.sleep(due - clock())
        reader, writer = await idle.get()
        writer.write(request(address.path, address.netloc, tokens[number % len(tokens)]))
        status = await answer(reader)
        idle.put_nowait((reader, writer))
        if status != 201:
            sys.exit(f"{url} answered {status}.")
        return clock() - due

    latencies = sorted(await asyncio.gather(*(ask(number) for number in range(int(rate * seconds)))))
    while not idle.empty():
        idle.get_nowait()[1].close()
    return {"p50": 1000 * latencies[len(latencies) // 2], "p99": 1000 * latencies[len(latencies) * 99 // 100]}


def request(path: str, host: str, token: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nX-Forwarded-Proto: https\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
    ).encode()


async def answer(reader: asyncio.StreamReader) -> int:
    """The status; the body is read and dropped."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split(" ", 2)[1])


if __name__ == "__main__":
    _, url, tokens_file, rate, seconds = sys.argv
    tokens = Path(tokens_file).read_text().split()
    print(json.dumps(asyncio.run(main(url, tokens, float(rate), float(seconds)))))
