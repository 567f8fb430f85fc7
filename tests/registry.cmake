if(TARGET storage)
  coracle_test(registry_auth_test
    SOURCES unit/storage/registry_auth_test.cpp unit/storage/byte_queue_test.cpp
    LIBS storage)
  coracle_test(registry_test
    SOURCES integration/registry_test.cpp integration/registry_credentials_test.cpp
      integration/registry_server_test.cpp unit/storage/in_user_namespace.cpp
    LIBS storage)
  add_dependencies(registry_test coracle-unpack)
  target_include_directories(registry_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
endif()
