"""What people look at: tables, bars and lines in the terminal."""
