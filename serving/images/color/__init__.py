"""Converts any mode and profile to 8-bit sRGB over white."""
