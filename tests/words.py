#!/usr/bin/env python3
"""Checks that what is decided, or made, in one place is not done again elsewhere.

    tests/words.py TREE        the sources below TREE
    tests/words.py --test      the rules themselves, on lines that they let pass or find
"""
import pathlib
import re
import sys

FOLDERS = ("engine", "storage", "netstack", "shim")
# What, over the code of a line without its comment; the files where it may stand; why.
RULES = [
    (r'"container:"', r"engine/spec/modes\.cpp|shim/.*", "a mode's text is read by engine/spec/modes"),
    (r'"bridge"', r"engine/spec/modes\.hpp|(shim|netstack)/.*", "the networks' names are engine/spec/modes's"),
    (r"message\.find\(", "", "errors are told apart by their code and errno, not by their text"),
    (r"time_point::max\(", r"engine/base/async/async\.[hc]pp", "base/async has the things that are waited for"),
    (r"\bclosedir\(", r"engine/base/dir\.hpp", "base/dir owns what opendir(3) gave"),
    (r"\bepoll_create1?\(",
     r"engine/base/epoll_loop\.cpp|engine/rootless/wards\.cpp|netstack/slirp/slirp_flows\.cpp|netstack/sandbox\.cpp",
     "base/epoll_loop is the loop; two sets of descriptors are waited for inside of one"),
    (r"\bk[A-Z]\w*M[sS]\b", "", "a unit stands last, behind a line: kLimit_ms"),
    (r"struct WireError\b", r"engine/base/ipc/message\.hpp", "base/ipc/message is the envelope of every protocol"),
]


def violations(file, lines):
    rules = [(re.compile(what), why) for what, where, why in RULES if not re.fullmatch(where, file)]
    for number, line in enumerate(lines, 1):
        code = line.split("//")[0]
        for what, why in rules:
            if what.search(code):
                yield f"{file}:{number}: {code.strip()}: {why}"


def check(tree):
    files = [p for folder in FOLDERS for p in sorted((tree / folder).rglob("*.[ch]pp"))]
    if not files:
        sys.exit(f"words: no sources below {tree}")
    found = [v for p in files
             for v in violations(p.relative_to(tree).as_posix(), p.read_text().splitlines())]
    if found:
        sys.exit("words:\n" + "\n".join(found))
    print(f"words: {len(files)} files keep to them")


def test():
    passes = [("engine/spec/modes.cpp", 'constexpr auto k = "container:";'),
              ("engine/lifecycle/x.cpp", '// as "container:" is read'),
              ("shim/wire/x.cpp", 'return "bridge";'),
              ("engine/base/async/async.hpp", "timer(io, asio::steady_timer::time_point::max())"),
              ("engine/base/dir.hpp", "::closedir(dir);"),
              ("netstack/slirp/slirp_flows.cpp", "::epoll_create1(EPOLL_CLOEXEC)"),
              ("shim/x.cpp", "constexpr int kLimit_ms = 5;")]
    fails = [("engine/lifecycle/x.cpp", 'if (mode.starts_with("container:"))'),
             ("engine/network/x.cpp", 'if (mode == "bridge")'),
             ("engine/exec/x.cpp", 'e.message.find("not found")'),
             ("storage/x.hpp", "timer(io, asio::steady_timer::time_point::max())"),
             ("engine/files/x.cpp", "::closedir(dir);"),
             ("netstack/x.cpp", "::epoll_create1(EPOLL_CLOEXEC)"),
             ("shim/x.cpp", "constexpr int kLimitMs = 5;"),
             ("netstack/protocol.hpp", "struct WireError {")]
    for wanted, cases in ((0, passes), (1, fails)):
        for file, line in cases:
            if len(list(violations(file, [line]))) != wanted:
                sys.exit(f"words: {file} with {line}: {'passes' if wanted else 'fails'}")
    print(f"words: {len(passes)} lines pass, {len(fails)} do not")


if __name__ == "__main__":
    test() if sys.argv[1] == "--test" else check(pathlib.Path(sys.argv[1]))
