"""iomodels: from one file descriptor to a million connections, in Python, on real sockets.

Importing the package imports nothing else of it: take what you need from

    iomodels.kernel      the system calls that a server makes
    iomodels.servers     one server per I/O model
    iomodels.apps        what is served
    iomodels.websocket   the frame parser
    iomodels.measure     the instruments
    iomodels.course      predict() and quiz(), for the notebooks
"""

__version__ = "0.1.0"
