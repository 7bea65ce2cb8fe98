"""Who wakes when a client comes to one of four workers."""

from __future__ import annotations

from iomodels.measure.wakeups import wakeups


def test_a_shared_listener_wakes_the_herd_and_the_others_do_not() -> None:
    shared, exclusive, reuseport = wakeups(clients=100, workers=4)
    assert (shared.share, exclusive.share, reuseport.share) == ("shared", "exclusive", "reuseport")
    for found in (shared, exclusive, reuseport):
        assert sum(found.accepted) == 101, "a first one, and then a hundred"
    # On a busy machine some of the herd have not gone back to sleep when the next client comes.
    assert min(shared.woken) > 10, "each client wakes everybody, or nearly"
    assert shared.each > 1.5 * exclusive.each
    assert shared.each > 1.5 * reuseport.each
    assert max(exclusive.woken) > 0.8 * sum(exclusive.woken), "the same one, nearly always"
    assert min(reuseport.accepted) > 5, "spread by a hash of the address"
