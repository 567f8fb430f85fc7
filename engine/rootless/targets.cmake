# rootless: coracled's side (finds or starts the keeper, enters it). coracle-keeper: the program, static and without the log.
add_library(rootless STATIC rootless/keeper.cpp rootless/start_keeper.cpp rootless/survivor.cpp rootless/idmap.cpp rootless/hints.cpp)
target_sources(rootless PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES
  rootless/keeper.hpp rootless/start_keeper.hpp rootless/survivor.hpp rootless/idmap.hpp rootless/hints.hpp rootless/protocol.hpp)
target_link_libraries(rootless PUBLIC base_core PRIVATE subid)

add_executable(coracle-keeper rootless/keeper_main.cpp rootless/vault.cpp rootless/supervisor.cpp rootless/wards.cpp
  ${CMAKE_SOURCE_DIR}/netstack/takeover.cpp)
target_link_libraries(coracle-keeper PRIVATE base_static)
if(NOT CORACLE_ASAN)  # the sanitizers do not work in static programs
  target_link_options(coracle-keeper PRIVATE -static)
endif()
install(TARGETS coracle-keeper DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/coracle)
