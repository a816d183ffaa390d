import sys

# They read from /proc what a process takes.
collect_ignore = (
    [] if sys.platform == "linux" else ["test_crowd.py", "test_locked.py", "test_slow_clients.py"]
)
