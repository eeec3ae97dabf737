"""Coverage-guided fuzzing of everything that reads what strangers send: targets, the runner, and the corpus that is kept."""
