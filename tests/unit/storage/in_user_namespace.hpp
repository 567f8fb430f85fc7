// Some tests need what the daemon has: to be root of a user namespace with an id range, and a mount
// namespace of their own. The test program enters one before its first test (as the keeper would);
// where the host does not allow it, those tests are skipped with the reason.
#pragma once

#include <string>

// "" when we are in such a namespace, else why not.
const std::string& why_no_namespace();
// Are there other ids than ours, so that owners can be tested?
bool has_id_range();

#define NEEDS_NAMESPACE() \
  if (!why_no_namespace().empty()) GTEST_SKIP() << why_no_namespace()
