"""Tasks for studying the protocol itself: nothing is learnt from data, and the answer is known."""
