"""Settings that every test shares."""

import signal

from hypothesis import settings

settings.register_profile("shared", deadline=None)  # a busy machine is no reason to fail
settings.register_profile("quick", settings.get_profile("shared"), max_examples=15)
settings.load_profile("shared")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what tests start inherits it
