"""What the commands of `keras-mambaout` do, a file a task. `cli.py` reads their arguments."""
