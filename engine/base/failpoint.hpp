// Fail points by name: CORACLE_FAIL=ingest.rename:kill ends this process, and :error gives an
// error, when it comes to that step. Several are separated by commas; "name:kill@3" fires at the
// third passage. Compiled in by the presets dev and asan (CORACLE_FAILPOINTS); elsewhere nothing.
#pragma once

#include "engine/base/result.hpp"

namespace coracle {

#ifdef CORACLE_FAILPOINTS
// Passes the step `name`. Returns an error (internal, "fail point NAME") if the environment asks
// for one.
Result<> fail_point(const char* name);
#else
inline Result<> fail_point(const char* /*name*/) { return {}; }
#endif

}  // namespace coracle
