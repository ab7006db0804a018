"""The study's last word: its winner on the test set, as it is or retrained on all identities."""
