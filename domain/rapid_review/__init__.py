"""The rapid review of a notified incident."""
