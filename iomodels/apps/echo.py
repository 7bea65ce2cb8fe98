"""Echo (RFC 862): whatever comes in goes out again.

The answer is the window itself: the bytes that the kernel wrote into the server's buffer are the
bytes that it reads back out of it. Nothing is copied on the way, and nothing is kept.
"""

from __future__ import annotations

from iomodels.apps import NOTHING, Answer


class Echo:
    """Send back what was received. Keeps nothing per connection."""

    def opened(self, fd: int) -> Answer:
        return NOTHING

    def received(self, fd: int, view: memoryview) -> Answer:
        return (view,)

    def closed(self, fd: int) -> None:
        pass
