coracle_test(base_test
  SOURCES unit/engine/base/path_test.cpp unit/engine/base/file_test.cpp unit/engine/base/walk_test.cpp unit/engine/base/room_test.cpp unit/engine/base/channel_test.cpp
    unit/engine/base/json_test.cpp unit/engine/base/utf8_test.cpp unit/engine/base/c_text_test.cpp unit/engine/base/ident_test.cpp unit/engine/base/process_test.cpp unit/engine/base/descendants_test.cpp
    unit/engine/base/async_test.cpp unit/engine/base/members_test.cpp
    unit/engine/base/private_dir_test.cpp unit/engine/base/sealed_program_test.cpp
  LIBS base)
# Trees 100,000 levels deep.
set_tests_properties(base_test PROPERTIES TIMEOUT 900)
