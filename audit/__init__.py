"""Append-only log that strangers can verify; usable without the rest."""
