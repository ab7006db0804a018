"""The final figures of a study on the test set: of its winner as it is, or retrained on all identities."""
