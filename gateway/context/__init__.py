"""What a rule may know beyond the mail itself."""
