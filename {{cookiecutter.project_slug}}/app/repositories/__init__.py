"""Files and what else is kept."""
