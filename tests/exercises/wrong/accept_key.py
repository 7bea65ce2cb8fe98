"""Wrong answers to the accept key."""


# %% looks for one spelling of the name: the field is there as `sec-websocket-key`
def accept(head):
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"Sec-WebSocket-Key":
            key = value.strip()
            if len(base64.b64decode(key, validate=True)) != 16:
                raise ValueError("not 16 bytes")
            return base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    raise ValueError("no key")


# %% makes the whole head lower case: the key was made lower case
def accept(head):
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"sec-websocket-key":
            return base64.b64encode(hashlib.sha1(value.strip() + GUID).digest()).decode()
    raise ValueError("no key")


# %% decodes the key first: the key was decoded first
def accept(head):
    keys = []
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            keys.append(base64.b64decode(value.strip(b" \t"), validate=True))
    if len(keys) != 1 or len(keys[0]) != 16:
        raise ValueError("one key of 16 bytes")
    return base64.b64encode(hashlib.sha1(keys[0] + GUID).digest()).decode()


# %% puts hexadecimal digits into base64: the digest's 20 bytes go into base64
def accept(head):
    keys = []
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            keys.append(value.strip(b" \t"))
    if len(keys) != 1 or len(base64.b64decode(keys[0], validate=True)) != 16:
        raise ValueError("one key of 16 bytes")
    digest = hashlib.sha1(keys[0] + GUID).hexdigest()
    return base64.b64encode(digest.encode()).decode()


# %% forgets the GUID: the GUID goes behind it
def accept(head):
    keys = []
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            keys.append(value.strip(b" \t"))
    if len(keys) != 1 or len(base64.b64decode(keys[0], validate=True)) != 16:
        raise ValueError("one key of 16 bytes")
    return base64.b64encode(hashlib.sha1(keys[0]).digest()).decode()


# %% wants exactly one space: the value may have any number of spaces and tabs around it, or none
def accept(head):
    keys = []
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        if name.lower() == b"sec-websocket-key":
            keys.append(value)
    if len(keys) != 1 or len(base64.b64decode(keys[0], validate=True)) != 16:
        raise ValueError("one key of 16 bytes")
    return base64.b64encode(hashlib.sha1(keys[0] + GUID).digest()).decode()


# %% takes the name wherever it stands: another field's name only ends in Sec-WebSocket-Key
def accept(head):
    at = head.lower().find(b"sec-websocket-key:")
    if at < 0:
        raise ValueError("no key")
    key = head[at:].split(b":", 1)[1].split(b"\r\n")[0].strip(b" \t")
    if len(base64.b64decode(key, validate=True)) != 16:
        raise ValueError("not 16 bytes")
    return base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()


# %% keeps the last of two: the key is there twice
def accept(head):
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip(b" \t")
    key = fields.get(b"sec-websocket-key")
    if key is None or len(base64.b64decode(key, validate=True)) != 16:
        raise ValueError("no key")
    return base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()


# %% splits at every colon: a value may hold a colon
def accept(head):
    keys = []
    for line in head.split(b"\r\n")[1:-2]:
        name, value = line.split(b":")
        if name.lower() == b"sec-websocket-key":
            keys.append(value.strip(b" \t"))
    if len(keys) != 1 or len(base64.b64decode(keys[0], validate=True)) != 16:
        raise ValueError("one key of 16 bytes")
    return base64.b64encode(hashlib.sha1(keys[0] + GUID).digest()).decode()


# %% takes a head for UTF-8: a head is bytes
def accept(head):
    keys = []
    for line in head.decode().split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "sec-websocket-key":
            keys.append(value.strip(" \t").encode())
    if len(keys) != 1 or len(base64.b64decode(keys[0], validate=True)) != 16:
        raise ValueError("one key of 16 bytes")
    return base64.b64encode(hashlib.sha1(keys[0] + GUID).digest()).decode()


# %% does not look at the key: it must be 16 bytes
def accept(head):
    keys = []
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            keys.append(value.strip(b" \t"))
    if len(keys) != 1:
        raise ValueError("one key")
    return base64.b64encode(hashlib.sha1(keys[0] + GUID).digest()).decode()


# %% returns bytes: returns bytes; the right ones, but `str` is asked for
def accept(head):
    keys = []
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            keys.append(value.strip(b" \t"))
    if len(keys) != 1 or len(base64.b64decode(keys[0], validate=True)) != 16:
        raise ValueError("one key of 16 bytes")
    return base64.b64encode(hashlib.sha1(keys[0] + GUID).digest())


# %% says None for a request without a key: where ValueError should be raised
def accept(head):
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            key = value.strip(b" \t")
            return base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
