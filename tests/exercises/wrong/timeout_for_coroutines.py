"""Wrong answers to a timeout for coroutines."""


# %% sleeps for all of it, and then looks: has ended, and your function has not returned
async def timeout(loop, seconds, coroutine):
    import contextlib

    task = loop.spawn(coroutine)
    await loop.sleep(seconds)
    if not task.done:
        task.cancel()
        with contextlib.suppress(Cancelled):
            await task
        raise TimeoutError
    return await task


# %% blocks the loop: nobody else goes on
async def timeout(loop, seconds, coroutine):
    import contextlib
    import time

    task = loop.spawn(coroutine)
    await loop.sleep(0)
    await loop.sleep(0.002)
    if not task.done:
        time.sleep(seconds)
        task.cancel()
        with contextlib.suppress(Cancelled):
            await task
        raise TimeoutError
    return await task


# %% asks again and again: instead of waiting to be woken
async def timeout(loop, seconds, coroutine):
    import contextlib
    import time

    task = loop.spawn(coroutine)
    until = time.monotonic() + seconds
    while not task.done and time.monotonic() < until:
        await loop.sleep(0)
    if not task.done:
        task.cancel()
        with contextlib.suppress(Cancelled):
            await task
        raise TimeoutError
    return await task


# %% no cancel at all, it only stops waiting: raises TimeoutError while the coroutine still waits
async def timeout(loop, seconds, coroutine):
    task, me = loop.spawn(coroutine), loop.current

    async def alarm():
        await loop.sleep(seconds)
        me.cancel()

    clock = loop.spawn(alarm())
    try:
        return await task
    except Cancelled:
        raise TimeoutError from None
    finally:
        clock.cancel()


# %% does not wait for the cleaning up: await its end
async def timeout(loop, seconds, coroutine):
    task, me = loop.spawn(coroutine), loop.current
    expired = False

    async def alarm():
        nonlocal expired
        await loop.sleep(seconds)
        expired = True
        task.cancel()
        me.cancel()

    clock = loop.spawn(alarm())
    try:
        return await task
    except Cancelled:
        if expired:
            raise TimeoutError from None
        raise
    finally:
        clock.cancel()
        task.cancel()


# %% the result is lost: the coroutine returned 'the answer' in time, and your function returns None
async def timeout(loop, seconds, coroutine):
    expired = False

    async def alarm():
        nonlocal expired
        await loop.sleep(seconds)
        expired = True
        task.cancel()

    task = loop.spawn(coroutine)
    clock = loop.spawn(alarm())
    try:
        await task
    except Cancelled:
        if expired:
            raise TimeoutError from None
        raise
    finally:
        clock.cancel()
        task.cancel()


# %% every error is a timeout: the coroutine raised ConnectionResetError, and your function raises
async def timeout(loop, seconds, coroutine):
    async def alarm():
        await loop.sleep(seconds)
        task.cancel()

    task = loop.spawn(coroutine)
    clock = loop.spawn(alarm())
    try:
        return await task
    except (Exception, Cancelled):
        raise TimeoutError from None
    finally:
        clock.cancel()
        task.cancel()


# %% swallows the error: the coroutine raised ConnectionResetError, and your function returns None
async def timeout(loop, seconds, coroutine):
    import contextlib

    expired = False

    async def alarm():
        nonlocal expired
        await loop.sleep(seconds)
        expired = True
        task.cancel()

    task = loop.spawn(coroutine)
    clock = loop.spawn(alarm())
    with contextlib.suppress(Exception):
        try:
            return await task
        except Cancelled:
            if not expired:
                raise
        finally:
            clock.cancel()
            task.cancel()
    if expired:
        raise TimeoutError


# %% forgets the alarm: when all was over, a task was left on the loop: `alarm`
async def timeout(loop, seconds, coroutine):
    expired = False

    async def alarm():
        nonlocal expired
        await loop.sleep(seconds)
        expired = True
        task.cancel()

    task = loop.spawn(coroutine)
    loop.spawn(alarm())
    try:
        return await task
    except Cancelled:
        if expired:
            raise TimeoutError from None
        raise
    finally:
        task.cancel()


# %% takes every Cancelled for the end of the time: Cancelled should go on to the caller
async def timeout(loop, seconds, coroutine):
    async def alarm():
        await loop.sleep(seconds)
        task.cancel()

    task = loop.spawn(coroutine)
    clock = loop.spawn(alarm())
    try:
        return await task
    except Cancelled:
        raise TimeoutError from None
    finally:
        clock.cancel()
        task.cancel()


# %% cancelled, it forgets its coroutine: and the coroutine that it runs was not
async def timeout(loop, seconds, coroutine):
    expired = False

    async def alarm():
        nonlocal expired
        await loop.sleep(seconds)
        expired = True
        task.cancel()

    task = loop.spawn(coroutine)
    clock = loop.spawn(alarm())
    try:
        return await task
    except Cancelled:
        if expired:
            raise TimeoutError from None
        raise
    finally:
        clock.cancel()


# %% lets Cancelled out instead of TimeoutError: TimeoutError is due
async def timeout(loop, seconds, coroutine):
    async def alarm():
        await loop.sleep(seconds)
        task.cancel()

    task = loop.spawn(coroutine)
    clock = loop.spawn(alarm())
    try:
        return await task
    finally:
        clock.cancel()
        task.cancel()


# %% asyncio's timeout on another loop: RuntimeError
async def timeout(loop, seconds, coroutine):
    import asyncio

    async with asyncio.timeout(seconds):
        return await coroutine


# %% awaits the coroutine itself, and then looks at the clock: your function has not raised
async def timeout(loop, seconds, coroutine):
    import time

    started = time.monotonic()
    value = await coroutine
    if time.monotonic() - started > seconds:
        raise TimeoutError
    return value
