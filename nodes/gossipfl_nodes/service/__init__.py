"""gossipfl as a service: what systemd is told, and the unit that has it run a daemon."""
