"""Every server × every fault × a hundred clients with random pieces.

Whatever the kernel does, each client that was not itself reset gets back every byte it sent, in
order, and no other; one that was reset has got a beginning of them. The server ends cleanly, with
no fd and no thread left.
"""

from __future__ import annotations

import os

import pytest

from iomodels.servers import MODELS
from tests.servers.harness import crowd, running

FAULTS = {
    "none": {},
    "EINTR": {"eintr": 0.2},
    "spurious readiness": {"spurious": 0.2},
    "EAGAIN after readiness": {"eagain": 0.2},
    "one byte read": {"short_reads": 0.3},
    "one byte written": {"short_writes": 0.3},
    "no room": {"no_room": 0.05},
    "client left while queued": {"aborted": 0.1},
    "reset at every call in turn": {"resets": True},
    "reset, one byte at a time": {"resets": True, "short_reads": 0.5, "short_writes": 0.5},
    "all at once": {
        "eintr": 0.1, "spurious": 0.1, "eagain": 0.1, "short_reads": 0.1, "short_writes": 0.1,
        "no_room": 0.02, "aborted": 0.05, "resets": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("model", MODELS)
def test_every_byte_to_every_client(model: str, fault: str, seed: int) -> None:
    faults = FAULTS[fault]
    in_turn = bool(faults.get("resets"))  # one call to read and one to write for every piece
    with running(model, faults, seed=seed) as server:
        clients = crowd(server.address, seed, haste=0 if in_turn else 0.2)
        resets = server.reset_ports()
    for port, client in clients.items():
        if port in resets:
            assert client.said.startswith(client.heard)
        else:
            assert client.heard == client.said
    if in_turn:
        workers = max(2, os.cpu_count() or 2) if model.startswith("workers") else 1
        # One at its first call, one at its second, ...; each worker counts its own.
        assert len(resets) >= (100 - workers + 1) // 2
    elif not faults.get("aborted"):
        assert not resets
