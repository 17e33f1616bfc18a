"""How reliable an answer is, and what it depends on."""
