"""Judges of clips: how close two clips are, what a clip shows, and tables of both."""
