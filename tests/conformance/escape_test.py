"""The attacks of a hostile container, image or neighbour, each by its name, against a real container: none of them
reaches the host, another container, or another user. A class a kind; docs/security.md says what is promised."""
import unittest  # noqa: F401  (used by the classes below)

import harness


# ---- paths: links exchanged while the engine works on a tree


# ---- descriptors: what is open when the container's program is looked up


# ---- programs: our own files, processes and signals


# ---- archives


# ---- health checks and what an image says of itself


if __name__ == "__main__":
    harness.main()
