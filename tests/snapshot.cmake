if(TARGET storage)
  coracle_test(snapshot_test
    SOURCES unit/storage/snapshot_test.cpp unit/storage/merged_tree_test.cpp unit/storage/diff_test.cpp unit/storage/volume_store_test.cpp
      unit/storage/snapshot_kill_test.cpp unit/storage/deep_tree_test.cpp
      unit/storage/in_user_namespace.cpp
    LIBS storage)
  # Trees 100,000 levels deep.
  set_tests_properties(snapshot_test PROPERTIES TIMEOUT 900)
endif()
