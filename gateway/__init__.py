"""Sockets, clock and state: the only package that acts, and only on a Decision."""
