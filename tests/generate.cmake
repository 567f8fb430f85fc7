if(TARGET spec)
  coracle_test(generate_test SOURCES unit/engine/spec/generate_test.cpp
    unit/engine/spec/capabilities_test.cpp unit/engine/spec/security_options_test.cpp
    unit/engine/spec/keep_id_test.cpp unit/engine/spec/cdi_test.cpp
    LIBS spec_generate)
endif()
