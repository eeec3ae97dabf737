"""Durable state of held and queued mail: tables and blobs."""
