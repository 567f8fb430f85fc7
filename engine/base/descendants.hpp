// The processes below another one. Of a child subreaper nothing can leave it, whatever pid
// namespace it is in. See prctl(2), PR_SET_CHILD_SUBREAPER, and proc(5), task/TID/children.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace coracle {

// All descendants of `parent` that run, parents before children. Blocks: it reads /proc.
//   but  a program that is passed over as a child of `parent`, with all below it; "": none
std::vector<pid_t> descendants(pid_t parent, const std::string& but);

}  // namespace coracle
