# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where programs run that nobody vouches for.

Two halves, joined by a socket. In the daemon: `room` (opening it), `launcher`, `process`. In a
small process of its own, started once with nothing but the standard library and none of our
memory: `zygote` forks for each program a `keeper`, which builds what the program sees (`root`),
locks the door behind it (`locks`, `filter`) and ends all it started. `order` is what one half
tells the other; `kernel` the system calls that Python lacks.
"""
