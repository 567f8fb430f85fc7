coracle_test(spec_test
  SOURCES unit/engine/spec/seccomp_profile_test.cpp
  LIBS spec)
