"""The instruments: that they count right, check what they hear, and leave nothing behind."""
