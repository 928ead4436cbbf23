"""Reports: what a run has shown, for people. They read results, and never look at a world."""
