"""The instruments: a server in one process, the load in another, and what can be counted of both.

    serving.py      a server in a fresh child, which is always got rid of
    child.py        what that child runs
    load.py         a load in a process of its own: rate, latency, every byte checked
    client.py       what that process runs
    loop.py         its loop; calls.py, compiled.py and plain.py are the loop's calls
    dialogues.py    what its clients say, and what they must hear
    usage.py        CPU time and context switches; system calls, where they can be counted
    limits.py       how much this machine allows
    machine.py      what it can do: the doctor's findings
    comparison.py   the same load on every model
    memory.py       what an idle connection costs; footprint.py reads it, memory_clients.py
                    connects, memory_peers.py are servers to stand beside ours
    gopeer.py       Go programs to stand beside ours (go/)
    meter.py        a running server, looked at from outside; meter_clients.py talks with it
    million/        as many WebSockets at once as this machine holds
    multiplexing.py what a wake-up costs, against the fds watched and those that are ready
    syscalls.py     system calls by name; copies.py: bytes copied; allocations.py: of each frame
    zerocopy.py     sendfile, splice and MSG_ZEROCOPY against read and write
    fresh.py        an instrument in a child of its own
    wakeups.py      who wakes when a client comes to one of several processes
    progress.py     what is shown while one waits

Load goes to loopback addresses alone, and is bounded in connections and in time.
"""
