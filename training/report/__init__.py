"""Every table, card and plot that shows a figure, from the records."""
