"""Reads mail and says what it saw. Never decides, writes or edits."""
