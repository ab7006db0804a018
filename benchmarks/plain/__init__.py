"""What a user would write without this project: the other side of the comparisons."""
