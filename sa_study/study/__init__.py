"""A study on disk: its configuration, database, records, summary, storage, lock and test ledger."""
