"""The engine: devices and links in virtual time, driving the daemons' own peers."""
