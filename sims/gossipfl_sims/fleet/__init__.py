"""Fleet mode: what exact simulation can't reach, a million nodes and more, at the price of what LEFT_OUT names.

Start with `setting.Fleet`, the setting; `world.FleetWorld` runs it; `learning.Shards` gives its nodes data to learn
from. Needs numba, which only this package imports.
"""
