coracle_test(netstack_test
  SOURCES unit/netstack/address_test.cpp unit/netstack/dns_test.cpp unit/netstack/egress_test.cpp
          unit/netstack/sandbox_test.cpp unit/netstack/shares_test.cpp
  LIBS netstack_core)
coracle_test(netstack_integration_test
  SOURCES integration/netstack_test.cpp integration/netstack_shares_test.cpp integration/netstack_client_test.cpp
          integration/netstack_harness.cpp
  LIBS netstack_core netstack_client)
add_dependencies(netstack_integration_test coracle-netstack)
target_compile_options(netstack_integration_test PRIVATE -Wno-mismatched-new-delete)  # as netstack_client
# Not a test: prints figures. Measure with the release preset.
add_executable(netstack_bench EXCLUDE_FROM_ALL bench/netstack_bench.cpp integration/netstack_harness.cpp)
target_link_libraries(netstack_bench PRIVATE netstack_core)
add_dependencies(netstack_bench coracle-netstack)
