coracle_test(runtime_test
  SOURCES unit/engine/runtime/plan_test.cpp unit/engine/runtime/user_lookup_test.cpp
    unit/engine/runtime/seccomp_test.cpp unit/engine/runtime/privileges_test.cpp
    unit/engine/runtime/exec_watch_test.cpp
  LIBS runtime spec_static)

# Real namespaces: the program enters a user namespace with the whole subordinate range first.
coracle_test(runtime_integration_test
  SOURCES integration/runtime_test.cpp integration/runtime_exec_test.cpp integration/container_fixture.cpp
    integration/user_namespace.cpp
  LIBS runtime spec_static)

# The same on a host without id ranges: one id is mapped, setgroups(2) is denied.
add_test(NAME runtime_one_id_test COMMAND runtime_integration_test
  --gtest_filter=Launch.RunsAProgram*:Launch.GivesDockers*:Launch.GivesATerminal*:Launch.MountsAnOverlay*:Launch.MakesDockersDev:Launch.CopiesTheImage*:Join.RunsBeside*:Join.HasA*)
set_tests_properties(runtime_one_id_test PROPERTIES TIMEOUT 300 ENVIRONMENT CORACLE_TEST_ONE_ID=1)

coracle_test(cgroup_test SOURCES unit/engine/runtime/cgroup_test.cpp LIBS cgroup)
