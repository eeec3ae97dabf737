"""The demo: a gateway, a stub DNS and a stub corporate server on loopback, and scenes that are checked three ways."""
