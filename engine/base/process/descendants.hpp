// The processes below another one. Of a child subreaper nothing can leave it, but for what is in a
// pid namespace that others have as well: there the orphans go to its first process
// (base/process/members finds those). See prctl(2), PR_SET_CHILD_SUBREAPER, and proc(5),
// task/TID/children.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace coracle {

// All descendants of `parent` that run, parents before children. Blocks: it reads /proc. Numbers
// are only good for showing: a signal goes by a Pidfd of which is_descendant() was asked.
//   but  a program that is passed over as a child of `parent`, with all below it; "": none
std::vector<pid_t> descendants(pid_t parent, const std::string& but);

// Is the process that has this number now one of them? Holds for a process whose descriptor was
// opened before and that has not ended afterwards.
bool is_descendant(pid_t pid, pid_t parent, const std::string& but);

}  // namespace coracle
