"""What commands show and write: terminal, pages, files that survive. Commands use it; the protocol never does."""
