// A test's own user and mount namespace with the user's whole subordinate id range, as the keeper
// gives one to the engine.
#pragma once

#include <string>

namespace coracle::test {

// Called first in main: runs the program again as root of a new user namespace, and returns there.
// Where the host cannot give one, it returns in the old one; no_user_namespace() tells. With
// CORACLE_TEST_ONE_ID in the environment only one id is mapped, as on a host without ranges.
void enter_user_namespace(char** argv);

// "" inside; else why the tests must be skipped.
std::string no_user_namespace();

}  // namespace coracle::test
