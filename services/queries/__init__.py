"""Read-only gRPC over the views and the log, with live watches."""
