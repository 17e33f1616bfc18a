"""Every measurement of a network or an exported file."""
