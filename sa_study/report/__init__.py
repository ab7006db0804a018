"""What people look at: the terminal, the page, pictures and dashboards; and the JSON for programs."""
