"""`reproduce`: a trial trained again from the study's record of it, and compared with that record."""
