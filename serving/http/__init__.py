"""What every request passes and every answer is written with."""
