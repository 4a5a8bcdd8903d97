"""Clips in and out of files: reading what people have, writing what they can play."""
