coracle_test(netstack_integration_test
  SOURCES integration/netstack_test.cpp integration/netstack_harness.cpp
  LIBS netstack_core)
add_dependencies(netstack_integration_test coracle-netstack)
