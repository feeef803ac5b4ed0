"""Acknowledged means durable: what a client saw succeed survives `kill -9` of the runtime.

    request --> applied in memory --> appended to the log --> answered
                     |                     |
                     '------ one lock -----'            snapshot = state + log position, taken under the same lock

The log is physical: it holds the items as they became, not the requests. Replay needs no condition, no clock and no
random number, so it cannot come out differently. A request that changed nothing (a failed condition) logs nothing.
"""
