#!/usr/bin/env python3
"""The table "route -> test", in Markdown, from what the tests really asked.

    CORACLE_ROUTES=/tmp/routes ctest -L conformance; tests/conformance/route_table.py /tmp/routes

The routes are those that shim/api names; one that no test asked with success stands there with a dash.
"""
import glob
import os
import re
import sys

API = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shim", "api")


def routes():
    """(method, pattern) as the router has them; the fixed refusals of refused.cpp are left out."""
    out = set()
    for path in glob.glob(f"{API}/*.cpp"):
        if not path.endswith("refused.cpp"):
            with open(path) as f:
                out.update(re.findall(r'"(GET|HEAD|POST|PUT|DELETE)",\s*"(/[^"]*)"', f.read()))
    return sorted(out, key=lambda r: (r[1], r[0]))


def expression(pattern):
    text = re.escape(pattern).replace(r"\{\*\}", ".+").replace(r"\{\}", "[^/]+")
    return re.compile(rf"(/v\d+\.\d+)?{text}$")


def main():
    known = [(method, pattern, expression(pattern)) for method, pattern in routes()]
    # The one with most fixed text first: /containers/json before /containers/{}.
    known.sort(key=lambda r: (r[1].count("{"), -len(r[1])))
    tests = {}
    with open(sys.argv[1]) as f:
        for line in f:
            test, request = line.rstrip("\n").split("\t")
            method, path = request.split(" ", 1)
            for m, pattern, regex in known:
                if m == method and regex.match(path):
                    tests.setdefault((m, pattern), {}).setdefault(test, 0)
                    break
    print("| route | tests |\n|---|---|")
    for method, pattern in routes():
        names = list(tests.get((method, pattern), {}))
        # One of each file, and at most four: the first names say enough.
        shown = list({name.split(".")[0]: name for name in reversed(names)}.values())[::-1][:4]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        print(f"| `{method} {pattern}` | {', '.join(shown) + more if names else '–'} |")


if __name__ == "__main__":
    main()
