# shim: routing, parsing, versions, errors, streams over real sockets, with an engine made for the tests.
if(TARGET engine AND TARGET storage)
  coracle_test(shim_test
    SOURCES
      unit/shim/fake_engine.cpp unit/shim/http_client.cpp
      unit/shim/http/message_test.cpp unit/shim/http/server_test.cpp unit/shim/http/malformed_test.cpp
      unit/shim/api/container_test.cpp unit/shim/api/stream_test.cpp unit/shim/api/image_test.cpp unit/shim/api/archive_test.cpp
      unit/shim/api/system_test.cpp
      unit/shim/wire/create_test.cpp unit/shim/wire/container_test.cpp unit/shim/wire/text_test.cpp unit/shim/wire/usage_test.cpp
      unit/shim/wire/filters_test.cpp unit/shim/config_test.cpp
    LIBS shim engine storage)
endif()
