# rootless: the pure parts, and the keeper with real namespaces (through a small program, since entering is for life).
coracle_test(rootless_test
  SOURCES unit/engine/rootless/idmap_test.cpp unit/engine/rootless/hints_test.cpp
          unit/engine/rootless/vault_test.cpp
          ${CMAKE_SOURCE_DIR}/engine/rootless/vault.cpp ${CMAKE_SOURCE_DIR}/engine/rootless/supervisor.cpp
          ${CMAKE_SOURCE_DIR}/netstack/takeover.cpp
  LIBS rootless base_core)

add_executable(keeper_probe integration/keeper_probe.cpp)
target_link_libraries(keeper_probe PRIVATE rootless base_core)
coracle_test(keeper_test SOURCES integration/keeper_test.cpp LIBS rootless base_core)
add_dependencies(keeper_test keeper_probe coracle-keeper)
