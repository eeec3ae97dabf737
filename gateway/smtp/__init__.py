"""SMTP in and out: sans-io rules and dialogues, and the thin shells that give them sockets."""
