"""Membership: who is alive, by SWIM with Lifeguard's additions, and how many there are, by flow updating.

One algorithm per file, without messages: `gossipfl.protocol.parts` says them.
"""
