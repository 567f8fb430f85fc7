# Fuzz targets (tests/fuzz): one program, built with the sanitizers only. The parsers are compiled once more, so that
# g++ tells which of their blocks an input reaches; what they need besides comes from the libraries as they are.
if(NOT CORACLE_ASAN)
  return()
endif()

set(FUZZ_PARSERS
  engine/base/result.cpp engine/base/fd.cpp engine/base/path.cpp engine/base/file.cpp engine/base/ipc/channel.cpp
  engine/base/json.cpp engine/base/ident.cpp engine/base/utf8.cpp engine/base/text.cpp
  storage/archive/archive.cpp storage/content/byte_source.cpp storage/images/config_change.cpp storage/content/digest.cpp storage/images/load.cpp
  storage/content/inflate.cpp storage/images/manifest.cpp storage/archive/places.cpp storage/images/reference.cpp storage/registry/auth.cpp storage/registry/signature.cpp storage/content/trust_policy.cpp
  storage/archive/tar_header.cpp storage/archive/tar_reader.cpp storage/archive/unpack.cpp storage/volumes/options.cpp
  netstack/base/address.cpp netstack/dns/dns_packet.cpp netstack/relay/egress.cpp
  engine/face/types.cpp engine/request/until.cpp engine/rootless/idmap.cpp engine/rootless/vault.cpp
  engine/spec/capabilities.cpp engine/spec/cdi.cpp engine/spec/generate.cpp engine/spec/keep_id.cpp
  engine/spec/seccomp_profile.cpp engine/spec/security_options.cpp
  engine/runtime/mounts/plan.cpp engine/runtime/report.cpp engine/runtime/user_lookup.cpp
  engine/inspect/list_filter.cpp engine/logs/files.cpp engine/request/image_defaults.cpp
  engine/request/mount_request.cpp engine/request/mounts.cpp engine/bundle/etc_files.cpp
  engine/request/ports.cpp engine/request/validate.cpp engine/bundle/yaml.cpp
  shim/http/connection.cpp shim/http/hijack.cpp shim/http/message.cpp shim/http/problem.cpp shim/http/router.cpp
  shim/wire/create.cpp shim/wire/filters.cpp shim/wire/image.cpp)
list(TRANSFORM FUZZ_PARSERS PREPEND ${CMAKE_SOURCE_DIR}/)
# As in engine/CMakeLists.txt: a source's properties are those of the folder that compiles it.
set_source_files_properties(${CMAKE_SOURCE_DIR}/engine/spec/seccomp_profile.cpp PROPERTIES
  OBJECT_DEPENDS ${CMAKE_SOURCE_DIR}/engine/spec/default_seccomp.json COMPILE_OPTIONS "-Wa,-I${CMAKE_SOURCE_DIR}/engine/spec")
add_library(fuzz_parsers OBJECT ${FUZZ_PARSERS}
  fuzz/base_targets.cpp fuzz/archive_targets.cpp fuzz/load_targets.cpp fuzz/image_targets.cpp
  fuzz/netstack_targets.cpp fuzz/engine_targets.cpp fuzz/log_targets.cpp
  fuzz/message_targets.cpp fuzz/http_targets.cpp fuzz/request_targets.cpp)
set_target_properties(fuzz_parsers PROPERTIES CORACLE_FUZZED ON)
target_compile_options(fuzz_parsers PRIVATE -O1 -fno-sanitize-recover=all -fsanitize-coverage=trace-pc,trace-cmp)
target_compile_definitions(fuzz_parsers PRIVATE _GLIBCXX_ASSERTIONS)
target_link_libraries(fuzz_parsers PRIVATE engine shim storage netstack_core base)

add_executable(coracle-fuzz fuzz/main.cpp fuzz/coverage.cpp fuzz/corpus.cpp fuzz/guard.cpp fuzz/mutate.cpp fuzz/json_mutate.cpp fuzz/tar_mutate.cpp
  fuzz/playground.cpp)
target_compile_options(coracle-fuzz PRIVATE -O1)
# The parsers' own objects come first, and take the place of the libraries': of those an object holds ten files in a unity
# build, so that with one that is needed nine others come. No other program is linked like this.
target_link_options(coracle-fuzz PRIVATE -Wl,--allow-multiple-definition)
target_link_libraries(coracle-fuzz PRIVATE fuzz_parsers engine shim storage netstack_core base)

# Each target runs its corpus and as many inputs more as take about five seconds (fifteen on a slow machine, then fewer), the same
# ones in every run.
set(FUZZ_TARGETS
  json json_string time base64 path channel archive unpack copy_in inflate load manifest image_config challenge signature reference
  config_change volume_options dns dns_response frame resolv_conf address user seccomp kernel oci_spec yaml network_files
  sub_ids log_line log_tail records monitor_message keeper_message netstack_message vault report http query create
  filters credentials words detach_keys)
foreach(target ${FUZZ_TARGETS})
  add_test(NAME fuzz_${target} COMMAND coracle-fuzz ${target} --inputs default --seconds 15
    --findings ${CMAKE_BINARY_DIR}/fuzz-findings ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${target})
  set_tests_properties(fuzz_${target} PROPERTIES TIMEOUT 600)
endforeach()
# None of them is forgotten above.
string(REPLACE ";" "\n" FUZZ_LIST "${FUZZ_TARGETS}")
add_test(NAME fuzz_targets COMMAND coracle-fuzz --list)
set_tests_properties(fuzz_targets PROPERTIES PASS_REGULAR_EXPRESSION "^${FUZZ_LIST}\n$")
