"""The processes of MXNet's parameter server (ps-lite): scheduler, servers and workers, and what starts them.

Nothing here imports MXNet, whose import would run the stock server in a scheduler's or server's process.
"""
