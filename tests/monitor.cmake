coracle_test(log_writer_test SOURCES unit/engine/monitor/log_writer_test.cpp LIBS monitor)
coracle_test(process_tree_test SOURCES unit/engine/monitor/process_tree_test.cpp LIBS monitor)
# The reader is the engine's; here it is tested against the writer, which is not linked with it elsewhere.
coracle_test(log_reader_test
  SOURCES unit/engine/container/log_reader_test.cpp ${CMAKE_SOURCE_DIR}/engine/container/log_reader.cpp
          ${CMAKE_SOURCE_DIR}/engine/container/log_files.cpp ${CMAKE_SOURCE_DIR}/engine/monitor/log_writer.cpp
          ${CMAKE_SOURCE_DIR}/engine/monitor/log_file.cpp ${CMAKE_SOURCE_DIR}/engine/monitor/journal_writer.cpp
          ${CMAKE_SOURCE_DIR}/engine/types.cpp
  LIBS base z)
if(TARGET coracle-monitor)
  coracle_test(monitor_test
    SOURCES integration/monitor_test.cpp integration/monitor_harness.cpp LIBS base_core)
  add_dependencies(monitor_test coracle-monitor)
  coracle_test(oci_command_test SOURCES integration/oci_command_test.cpp LIBS base_core)
  add_dependencies(oci_command_test coracle-monitor)
endif()
