"""What sealgate doctor looks at."""
