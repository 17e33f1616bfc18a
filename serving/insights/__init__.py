"""How far to trust an answer, and what it rests on."""
