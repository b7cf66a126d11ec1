"""Settings that every test shares."""

import signal

from hypothesis import settings

# A busy machine is no reason to fail. `make soak` looks longer for counterexamples.
settings.register_profile("shared", deadline=None, max_examples=30)
settings.register_profile("quick", settings.get_profile("shared"), max_examples=15)
settings.register_profile("thorough", settings.get_profile("shared"), max_examples=300)
settings.load_profile("shared")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what tests start inherits it
