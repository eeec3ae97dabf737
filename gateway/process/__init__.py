"""The processes: who starts whom, what they listen on, and what they tell the operator."""
