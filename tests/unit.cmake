# The test programs, from the bottom of the tree. A program runs as an unprivileged user (tests/run sees to that).
find_package(ZLIB REQUIRED)

coracle_test(base_test
  SOURCES unit/engine/base/result_test.cpp unit/engine/base/path_test.cpp unit/engine/base/file_test.cpp unit/engine/base/tree/walk_test.cpp
    unit/engine/base/room_test.cpp unit/engine/base/ipc/channel_test.cpp unit/engine/base/epoll_loop_test.cpp unit/engine/base/json_test.cpp
    unit/engine/base/ipc/message_test.cpp
    unit/engine/base/utf8_test.cpp unit/engine/base/text_test.cpp unit/engine/base/c_text_test.cpp unit/engine/base/ident_test.cpp
    unit/engine/base/process/process_test.cpp unit/engine/base/process/descendants_test.cpp unit/engine/base/async/async_test.cpp
    unit/engine/base/process/members_test.cpp unit/engine/base/private_dir_test.cpp unit/engine/base/process/sealed_program_test.cpp
  LIBS base)
# Trees 100,000 levels deep.
set_tests_properties(base_test PROPERTIES TIMEOUT 900)

coracle_test(spec_test SOURCES unit/engine/spec/seccomp_profile_test.cpp LIBS spec)
coracle_test(generate_test
  SOURCES unit/engine/spec/generate_test.cpp unit/engine/spec/capabilities_test.cpp
    unit/engine/spec/security_options_test.cpp unit/engine/spec/keep_id_test.cpp unit/engine/spec/cdi_test.cpp unit/engine/spec/modes_test.cpp
  LIBS spec_generate)

coracle_test(runtime_test
  SOURCES unit/engine/runtime/mounts/plan_test.cpp unit/engine/runtime/user_lookup_test.cpp
    unit/engine/runtime/seccomp_test.cpp unit/engine/runtime/privileges_test.cpp unit/engine/runtime/exec_watch_test.cpp
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

coracle_test(log_writer_test SOURCES unit/engine/monitor/streams/log_writer_test.cpp LIBS monitor)
coracle_test(process_tree_test SOURCES unit/engine/monitor/process_tree_test.cpp LIBS monitor)
# The reader is the engine's; here it is tested against the writer, which is not linked with it elsewhere.
coracle_test(log_reader_test
  SOURCES unit/engine/logs/reader_test.cpp ${CMAKE_SOURCE_DIR}/engine/logs/reader.cpp
    ${CMAKE_SOURCE_DIR}/engine/logs/files.cpp ${CMAKE_SOURCE_DIR}/engine/monitor/streams/log_writer.cpp
    ${CMAKE_SOURCE_DIR}/engine/monitor/streams/log_file.cpp ${CMAKE_SOURCE_DIR}/engine/monitor/streams/journal_writer.cpp
    ${CMAKE_SOURCE_DIR}/engine/face/types.cpp
  LIBS base z)
coracle_test(monitor_test SOURCES integration/monitor_test.cpp integration/monitor_harness.cpp LIBS base_core)
add_dependencies(monitor_test coracle-monitor)
coracle_test(oci_command_test SOURCES integration/oci_command_test.cpp LIBS base_core)
add_dependencies(oci_command_test coracle-monitor)

# The pure parts, and the keeper with real namespaces (through a small program, since entering is for life).
coracle_test(rootless_test
  SOURCES unit/engine/rootless/idmap_test.cpp unit/engine/rootless/hints_test.cpp unit/engine/rootless/vault_test.cpp
    ${CMAKE_SOURCE_DIR}/engine/rootless/vault.cpp ${CMAKE_SOURCE_DIR}/engine/rootless/supervisor.cpp
    ${CMAKE_SOURCE_DIR}/netstack/takeover.cpp
  LIBS rootless base_core)
add_executable(keeper_probe integration/keeper_probe.cpp)
target_link_libraries(keeper_probe PRIVATE rootless base_core)
coracle_test(keeper_test SOURCES integration/keeper_test.cpp LIBS rootless base_core)
add_dependencies(keeper_test keeper_probe coracle-keeper)

coracle_test(storage_test
  SOURCES unit/storage/images/reference_test.cpp unit/storage/images/config_change_test.cpp unit/storage/images/platform_test.cpp unit/storage/images/manifest_test.cpp unit/storage/archive/unpack_test.cpp
    unit/storage/archive/tar_reader_test.cpp unit/storage/archive/peer_stream_test.cpp unit/storage/snapshots/layer_store_test.cpp
    unit/storage/storage_test.cpp unit/storage/content/inflate_test.cpp unit/storage/content/upload_test.cpp unit/storage/content/trust_policy_test.cpp unit/storage/in_user_namespace.cpp
  LIBS storage ZLIB::ZLIB PkgConfig::ZSTD)
coracle_test(unpacker_test
  SOURCES unit/storage/unpacker_test.cpp ${CMAKE_SOURCE_DIR}/storage/unpacker/sandbox.cpp
    unit/storage/in_user_namespace.cpp
  LIBS storage base_sandbox ZLIB::ZLIB PkgConfig::ZSTD)
coracle_test(snapshot_test
  SOURCES unit/storage/snapshots/snapshot_test.cpp unit/storage/snapshots/merged_tree_test.cpp unit/storage/snapshots/diff_test.cpp
    unit/storage/volumes/store_test.cpp unit/storage/snapshot_kill_test.cpp unit/storage/deep_tree_test.cpp
    unit/storage/in_user_namespace.cpp
  LIBS storage)
# Trees 100,000 levels deep.
set_tests_properties(snapshot_test PROPERTIES TIMEOUT 900)
coracle_test(registry_auth_test
  SOURCES unit/storage/registry/auth_test.cpp unit/storage/content/byte_queue_test.cpp LIBS storage)
coracle_test(registry_test
  SOURCES integration/registry_test.cpp integration/registry_credentials_test.cpp integration/registry_layers_test.cpp integration/registry_server_test.cpp
    unit/storage/in_user_namespace.cpp
  LIBS storage)
foreach(test storage_test unpacker_test registry_test)
  add_dependencies(${test} coracle-unpack)
endforeach()

coracle_test(netstack_test
  SOURCES unit/netstack/base/address_test.cpp unit/netstack/dns/dns_test.cpp unit/netstack/relay/egress_test.cpp
    unit/netstack/sandbox_test.cpp unit/netstack/base/shares_test.cpp unit/netstack/bridge/netlink_test.cpp
  LIBS netstack_core)
coracle_test(netstack_integration_test
  SOURCES integration/netstack_test.cpp integration/netstack_shares_test.cpp integration/netstack_client_test.cpp
    integration/netstack_harness.cpp
  LIBS netstack_core netstack_client)
add_dependencies(netstack_integration_test coracle-netstack)
# Not a test: prints figures. Measure with the release preset.
add_executable(netstack_bench EXCLUDE_FROM_ALL bench/netstack_bench.cpp integration/netstack_harness.cpp)
target_link_libraries(netstack_bench PRIVATE netstack_core)
add_dependencies(netstack_bench coracle-netstack)

# The engine's pure rules; its running is tested through coracled (tests/conformance).
coracle_test(engine_test
  SOURCES unit/engine/container/state_test.cpp unit/engine/request/image_defaults_test.cpp
    unit/engine/request/ports_test.cpp unit/engine/request/mounts_test.cpp
    unit/engine/request/validate_test.cpp unit/engine/request/log_options_test.cpp
    unit/engine/container/table_test.cpp unit/engine/inspect/list_test.cpp
    unit/engine/bundle/etc_files_test.cpp unit/engine/lifecycle/start_gate_test.cpp
    unit/engine/container/layer_use_test.cpp unit/engine/bundle/yaml_test.cpp unit/engine/request/links_test.cpp unit/engine/request/image_rules_test.cpp unit/engine/request/plan_test.cpp
    unit/engine/container/store_test.cpp unit/engine/exec/health_test.cpp unit/engine/exec/detach_keys_test.cpp unit/engine/inspect/disk_usage_test.cpp
    unit/engine/events_test.cpp unit/engine/face/types_test.cpp unit/engine/rooms_test.cpp
    unit/storage/in_user_namespace.cpp
  LIBS engine ZLIB::ZLIB PkgConfig::ZSTD)
add_dependencies(engine_test coracle-unpack)

# Routing, parsing, versions, errors, streams over real sockets, with fakes of the engine's faces.
coracle_test(shim_test
  SOURCES unit/shim/http_client.cpp
    unit/shim/fake/containers.cpp unit/shim/fake/streams.cpp unit/shim/fake/files.cpp unit/shim/fake/execs.cpp
    unit/shim/fake/images.cpp unit/shim/fake/system.cpp
    unit/shim/http/message_test.cpp unit/shim/http/server_test.cpp unit/shim/http/malformed_test.cpp
    unit/shim/api/container_test.cpp unit/shim/api/stream_test.cpp unit/shim/api/image_test.cpp
    unit/shim/api/json_body_test.cpp unit/shim/wire/json_fault_test.cpp
    unit/shim/api/archive_test.cpp unit/shim/api/system_test.cpp
    unit/shim/api/volume_test.cpp unit/shim/api/network_test.cpp
    unit/shim/wire/create_test.cpp unit/shim/wire/container_test.cpp unit/shim/wire/text_test.cpp
    unit/shim/wire/usage_test.cpp unit/shim/wire/filters_test.cpp unit/shim/config_test.cpp
  LIBS shim engine storage)
