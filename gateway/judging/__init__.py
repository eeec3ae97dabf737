"""What every message is judged with: loading it, trying it out, and the examples that rules carry."""
