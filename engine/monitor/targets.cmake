# monitor: all of coracle-monitor but its main, so that tests can link it. The program is static:
# one waits beside every container, and shares its pages with the others.
add_library(monitor STATIC
  monitor/client.cpp monitor/connections.cpp monitor/container.cpp monitor/freezer.cpp monitor/guard.cpp
  monitor/journal_writer.cpp monitor/log_file.cpp monitor/log_writer.cpp monitor/loop.cpp monitor/oci_command.cpp monitor/oom.cpp monitor/process_tree.cpp
  monitor/session.cpp monitor/spawner.cpp monitor/stdio.cpp)
target_sources(monitor PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES
  monitor/client.hpp monitor/connections.hpp monitor/container.hpp monitor/detach_keys.hpp
  monitor/freezer.hpp monitor/guard.hpp monitor/journal_writer.hpp monitor/log_file.hpp monitor/log_writer.hpp monitor/loop.hpp monitor/oci_command.hpp monitor/oom.hpp
  monitor/process_tree.hpp monitor/protocol.hpp monitor/session.hpp monitor/spawner.hpp monitor/stdio.hpp)
target_link_libraries(monitor PUBLIC base_static z)

if(TARGET runtime)
  target_link_libraries(monitor PUBLIC runtime)
  add_executable(coracle-monitor monitor/main.cpp)
  target_link_libraries(coracle-monitor PRIVATE monitor)
  if(NOT CORACLE_ASAN)
    target_link_options(coracle-monitor PRIVATE -static -Wl,--gc-sections)
  endif()
  install(TARGETS coracle-monitor DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/coracle)
endif()
