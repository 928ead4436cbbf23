"""HTTP for the control API: operations with types, problems, streams, and who may connect. Knows no daemon."""
