if(TARGET storage)
  find_package(ZLIB REQUIRED)
  pkg_check_modules(TEST_ZSTD REQUIRED IMPORTED_TARGET libzstd)
  coracle_test(storage_test
    SOURCES unit/storage/reference_test.cpp unit/storage/manifest_test.cpp unit/storage/unpack_test.cpp unit/storage/tar_reader_test.cpp unit/storage/peer_stream_test.cpp
      unit/storage/layer_store_test.cpp unit/storage/storage_test.cpp unit/storage/in_user_namespace.cpp
    LIBS storage ZLIB::ZLIB PkgConfig::TEST_ZSTD)
  add_dependencies(storage_test coracle-unpack)
  coracle_test(unpacker_test
    SOURCES unit/storage/unpacker_test.cpp ${CMAKE_SOURCE_DIR}/storage/unpacker/sandbox.cpp unit/storage/in_user_namespace.cpp
    LIBS storage base_sandbox ZLIB::ZLIB PkgConfig::TEST_ZSTD)
  add_dependencies(unpacker_test coracle-unpack)
endif()
