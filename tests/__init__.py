"""The tests; a package, so that they can share what they know (`from tests.x import y`)."""
