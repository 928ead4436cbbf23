"""Recordings of what one peer went through, as bytes: `records` says what is kept, `stream` how it lies in a file."""
