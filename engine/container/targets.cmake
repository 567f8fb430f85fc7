# engine: containers and the rules across areas, behind engine/engine.hpp.
add_library(engine STATIC
  types.cpp engine.cpp parts.cpp events.cpp images.cpp volumes.cpp networks.cpp system.cpp keeper_watch.cpp
  container/state.cpp container/layer_use.cpp container/container.cpp container/table.cpp container/store.cpp
  container/monitor_link.cpp container/monitor_spawner.cpp container/monitor_environment.cpp container/network_lease.cpp container/network_again.cpp container/merge.cpp container/validate.cpp
  container/ports.cpp container/mounts.cpp container/mount_request.cpp container/mount_sources.cpp container/network_files.cpp container/start_input.cpp
  container/create.cpp container/start.cpp container/start_gate.cpp container/stop.cpp container/pause.cpp container/exit.cpp
  container/update.cpp container/health.cpp container/run_events.cpp
  container/remove.cpp container/reattach.cpp container/exec.cpp container/attach.cpp
  container/client_stream.cpp container/logs.cpp container/log_reader.cpp container/log_files.cpp
  container/log_journal.cpp container/log_options.cpp
  container/host_devices.cpp container/root_view.cpp container/archive.cpp container/commit.cpp
  container/keep_id_user.cpp container/links.cpp container/remove_link.cpp container/namespaces.cpp container/detach_keys.cpp container/cdi_files.cpp container/yaml.cpp
  container/view.cpp container/list.cpp
  container/list_filter.cpp container/pattern.cpp container/processes.cpp container/top.cpp container/sample.cpp container/stats.cpp
  until.cpp disk_usage.cpp prune.cpp check.cpp)
target_sources(engine PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES
  types.hpp engine.hpp update.hpp parts.hpp later.hpp events.hpp images.hpp volumes.hpp networks.hpp system.hpp keeper_watch.hpp
  container/state.hpp container/layer_use.hpp container/container.hpp container/table.hpp container/store.hpp
  container/record.hpp container/lifecycle.hpp container/health.hpp container/run_events.hpp container/monitor_link.hpp container/monitor_spawner.hpp container/monitor_environment.hpp container/start_gate.hpp
  container/network_lease.hpp container/network_again.hpp container/merge.hpp container/validate.hpp container/ports.hpp
  container/mounts.hpp container/mount_request.hpp container/mount_sources.hpp container/network_files.hpp container/start_input.hpp
  container/host_devices.hpp container/keep_id_user.hpp container/links.hpp container/namespaces.hpp container/detach_keys.hpp container/cdi_files.hpp container/yaml.hpp container/exec.hpp
  container/attach.hpp container/client_stream.hpp container/logs.hpp container/log_reader.hpp
  container/log_files.hpp container/log_source.hpp container/log_journal.hpp container/log_options.hpp
  container/root_view.hpp container/archive.hpp container/commit.hpp archive.hpp
  container/view.hpp container/list.hpp
  container/list_filter.hpp container/pattern.hpp container/processes.hpp container/top.hpp container/sample.hpp container/stats.hpp
  stats.hpp usage.hpp until.hpp disk_usage.hpp prune.hpp check.hpp)
target_link_libraries(engine PUBLIC base spec_generate user_lookup root_mounts)
# CDI specifications are mostly YAML.
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
find_library(RE2_LIBRARY re2 REQUIRED)
target_link_libraries(engine PRIVATE PkgConfig::YAML PkgConfig::SYSTEMD ${RE2_LIBRARY} z)
# Their folders are read after this one.
target_link_libraries(engine PUBLIC storage netstack_client PRIVATE rootless)
