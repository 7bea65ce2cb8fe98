"""The models that can be recorded: all of the course, and some that are wrong on purpose."""

from __future__ import annotations

import functools

from iomodels import servers
from iomodels.servers import Serve
from iomodels.trace import broken

__all__ = ["MODELS", "SHARE_PORT", "server"]

SHARED = {"workers-shared": "epoll in several processes, which all wake for each client"}
MODELS = {**servers.MODELS, **SHARED, **{name: idea for name, (idea, _) in broken.MODELS.items()}}
SHARE_PORT = servers.SHARE_PORT


def server(model: str, workers: int = 2) -> Serve:
    """Return the `serve` function of a model in MODELS; those with workers get so many.

    Raises ValueError for a name that is not there.
    """
    if model in broken.MODELS:
        return broken.MODELS[model][1]
    if model not in MODELS:
        raise ValueError(f"no model named {model!r}; there are {', '.join(MODELS)}")
    name, _, share = model.partition("-")
    if name == "workers":
        from iomodels.servers.workers import serve

        return functools.partial(serve, share=share, workers=workers)
    return servers.server(model)
