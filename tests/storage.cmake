if(TARGET storage)
  find_package(ZLIB REQUIRED)
  pkg_check_modules(TEST_ZSTD REQUIRED IMPORTED_TARGET libzstd)
  coracle_test(storage_test
    SOURCES unit/storage/reference_test.cpp unit/storage/manifest_test.cpp unit/storage/unpack_test.cpp
      unit/storage/layer_store_test.cpp unit/storage/storage_test.cpp unit/storage/in_user_namespace.cpp
    LIBS storage ZLIB::ZLIB PkgConfig::TEST_ZSTD)
endif()
