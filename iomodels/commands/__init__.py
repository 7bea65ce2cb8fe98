"""The commands of `iomodels`, one file each; what they share is in common.py."""
