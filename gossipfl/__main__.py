"""The process `gossipfl`, or `python -m gossipfl`.

Until the front door is there, which knows what to say, Ctrl-C just ends it: a traceback through imports tells nobody
anything.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored, as under nohup
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from gossipfl.cli import main

if __name__ == "__main__":
    main()
