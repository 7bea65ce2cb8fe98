"""Wrong answers to unmask in place."""


# %% returns a copy: returns bytes, and the buffer is as it was
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    pattern = (turned * (len(piece) // 4 + 1))[: len(piece)]
    number = int.from_bytes(piece, "little") ^ int.from_bytes(pattern, "little")
    return number.to_bytes(len(piece), "little")


# %% gives the parameter another value: to give the parameter another value changes a name
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    pattern = (turned * (len(piece) // 4 + 1))[: len(piece)]
    number = int.from_bytes(piece, "little") ^ int.from_bytes(pattern, "little")
    piece = bytearray(number.to_bytes(len(piece), "little"))


# %% words of 4 bytes, and no rest: byte 4 of 5, counted from 0, is still masked: 5 is not
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    view = memoryview(piece)[: len(piece) // 4 * 4]
    for start in range(0, len(view), 4096):
        part = view[start : start + 4096]
        pattern = (turned * (len(part) // 4 + 1))[: len(part)]
        number = int.from_bytes(part, "little") ^ int.from_bytes(pattern, "little")
        part[:] = number.to_bytes(len(part), "little")


# %% leaves the last byte: byte 11 of 12, counted from 0, is still masked
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    view = memoryview(piece)[:-1]
    for start in range(0, len(view), 4096):
        part = view[start : start + 4096]
        pattern = (turned * (len(part) // 4 + 1))[: len(part)]
        number = int.from_bytes(part, "little") ^ int.from_bytes(pattern, "little")
        part[:] = number.to_bytes(len(part), "little")


# %% the key begins anew with each piece: with byte 0 of the key, and it was the turn of byte 1
def unmask(piece, key, phase=0):
    for i in range(len(piece)):
        piece[i] ^= key[i % 4]


# %% turns the key the wrong way: with byte 3 of the key, and it was the turn of byte 1
def unmask(piece, key, phase=0):
    shift = -phase % 4
    turned = key[shift:] + key[:shift]
    view = memoryview(piece)
    for start in range(0, len(view), 4096):
        part = view[start : start + 4096]
        pattern = (turned * (len(part) // 4 + 1))[: len(part)]
        number = int.from_bytes(part, "little") ^ int.from_bytes(pattern, "little")
        part[:] = number.to_bytes(len(part), "little")


# %% the whole window: changes what stands before the payload in the same window
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    view = memoryview(piece.obj if isinstance(piece, memoryview) else piece)
    for start in range(0, len(view), 4096):
        part = view[start : start + 4096]
        pattern = (turned * (len(part) // 4 + 1))[: len(part)]
        number = int.from_bytes(part, "little") ^ int.from_bytes(pattern, "little")
        part[:] = number.to_bytes(len(part), "little")


# %% by way of copies of all of it: MiB at once for a payload of 1 MiB, and 256 KiB are allowed
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    pattern = (turned * (len(piece) // 4 + 1))[: len(piece)]
    number = int.from_bytes(piece, "little") ^ int.from_bytes(pattern, "little")
    piece[:] = number.to_bytes(len(piece), "little")


# %% a comprehension of all of it: MiB at once for a payload of 1 MiB, and 256 KiB are allowed
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    keys = turned * (len(piece) // 4 + 1)
    piece[:] = bytes(byte ^ mask for byte, mask in zip(piece, keys, strict=False))


# %% two byte orders: with byte 3 of the key, and it was the turn of byte 0
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    view = memoryview(piece)
    for start in range(0, len(view), 4096):
        part = view[start : start + 4096]
        padded = bytes(part) + bytes(-len(part) % 4)
        number = int.from_bytes(padded, "big")
        number ^= int.from_bytes(turned * (len(padded) // 4), "little")
        part[:] = number.to_bytes(len(padded), "big")[: len(part)]


# %% the number begins at the wrong end: with byte 3 of the key, and it was the turn of byte 0
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    view = memoryview(piece)
    for start in range(0, len(view), 4096):
        part = view[start : start + 4096]
        pattern = turned * (len(part) // 4 + 1)  # not cut: at the lower end, it is another phase
        number = int.from_bytes(part, "big") ^ int.from_bytes(pattern, "big")
        part[:] = number.to_bytes(len(pattern), "big")[-len(part) :]


# %% parts that 4 does not divide: byte 10,001 of 1,048,576, counted from 0, was XORed with byte 0
def unmask(piece, key, phase=0):
    turned = key[phase % 4 :] + key[: phase % 4]
    view = memoryview(piece)
    for start in range(0, len(view), 10_001):
        part = view[start : start + 10_001]
        pattern = (turned * (len(part) // 4 + 1))[: len(part)]
        number = int.from_bytes(part, "little") ^ int.from_bytes(pattern, "little")
        part[:] = number.to_bytes(len(part), "little")
