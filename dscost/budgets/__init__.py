"""What may cost how much: budget files, what they say of a report, and what was known before."""
