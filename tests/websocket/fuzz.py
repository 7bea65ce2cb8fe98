"""Fuzz the parser: python -m tests.websocket.fuzz [--seconds 60] [--seed N]

Takes streams that are right or nearly so, rules, and requests; breaks them by chance; and hands
them to every way of ours, each cut in other places. All must answer with the same bytes, tell
their apps the same, raise nothing, keep nothing, and answer with frames that are right.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.websocket.harness import FAST, WAYS, Client, serve
from tests.websocket.peers import server_frames
from tests.websocket.rules import HANDSHAKES, RULES, request
from tests.websocket.streams import cuts, stream

SEEDS = [rule.client for rule in RULES if len(rule.client) < 10_000]
REQUESTS = [rule.client for rule in HANDSHAKES]


def broken(rng: random.Random, data: bytes) -> bytes:
    """Return `data` with up to four things done to it."""
    mutant = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at = rng.randint(0, len(mutant))
        size = rng.choice((1, 1, 2, 4, 8, 60))
        match rng.randrange(6):
            case 0 if at < len(mutant):
                mutant[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(mutant):
                mutant[at] = rng.choice((0, 1, 0x7E, 0x7F, 0x80, 0x81, 0x88, 0xFE, 0xFF))
            case 2:
                mutant[at:at] = rng.randbytes(size)
            case 3:
                del mutant[at : at + size]
            case 4:
                mutant[at:at] = mutant[at : at + size]
            case 5:
                other = rng.choice(SEEDS)
                start = rng.randint(0, len(other))
                mutant[at:at] = other[start : start + rng.choice((size, len(other)))]
    return bytes(mutant)


def attempt(rng: random.Random) -> int:
    """Break one input and try it in every way; return how many bytes it had."""
    frames = stream(rng) if rng.random() < 0.5 else rng.choice(SEEDS) + rng.choice(SEEDS)
    upgraded = rng.random() < 0.8
    if upgraded:
        data = broken(rng, frames)
    else:
        head = rng.choice(REQUESTS) if rng.random() < 0.5 else request()
        data = broken(rng, head) + frames
    expected = None
    for name, way in WAYS.items():
        if way[1] and not FAST:
            continue
        websocket = serve(way, limit=100_000)
        client = Client(websocket, upgraded=upgraded)
        answer = client.send(data, cuts(rng, data))
        head, _, after = answer.partition(b"\r\n\r\n")
        if upgraded:
            server_frames(answer)
        elif head.startswith(b"HTTP/1.1 101 "):
            server_frames(after)
        kept = sum(len(part.message) for part in websocket.unfinished.values())
        assert kept <= 100_010 and not (client.ended and websocket.unfinished), name
        websocket.closed(client.fd)
        assert not websocket.unfinished and not websocket.requests, name
        outcome = answer, client.ended, websocket.app.events
        if expected is None:
            expected = outcome
        assert outcome == expected, name
    return len(data)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the WebSocket parser.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="of the first input")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else time.time_ns() & 0xFFFFFFFF
    until = time.monotonic() + options.seconds
    seed, size = first, 0
    while time.monotonic() < until:
        try:
            size += attempt(random.Random(seed))
        except Exception:
            print(f"found something; see it again with --seed {seed}", file=sys.stderr)
            raise
        seed += 1
    print(f"{seed - first} inputs of {size} bytes, seeds {first} to {seed - 1}: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
