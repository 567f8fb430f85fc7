# The engine's pure rules; its running is tested through coracled (tests/conformance).
coracle_test(engine_test
  SOURCES unit/engine/container/state_test.cpp unit/engine/container/merge_test.cpp
    unit/engine/container/ports_test.cpp unit/engine/container/mounts_test.cpp
    unit/engine/container/validate_test.cpp unit/engine/container/log_options_test.cpp unit/engine/container/table_test.cpp
    unit/engine/container/list_test.cpp unit/engine/container/network_files_test.cpp unit/engine/container/start_gate_test.cpp unit/engine/container/layer_use_test.cpp
    unit/engine/container/yaml_test.cpp unit/engine/container/links_test.cpp
    unit/engine/container/store_test.cpp unit/engine/container/health_test.cpp unit/engine/container/usage_test.cpp unit/engine/events_test.cpp unit/engine/types_test.cpp
  LIBS engine)
