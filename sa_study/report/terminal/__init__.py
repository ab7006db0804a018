"""What the terminal shows: console, tables, the live view."""
