# spec_generate: configurations -> oci::Spec; what the engine links. (`spec` alone is for the monitor too.)
add_library(spec_generate STATIC
  spec/generate.cpp spec/capabilities.cpp spec/security_options.cpp spec/keep_id.cpp spec/cdi.cpp
  spec/throttle.cpp)
target_sources(spec_generate PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES
  spec/generate.hpp spec/capabilities.hpp spec/security_options.hpp spec/keep_id.hpp spec/cdi.hpp
  spec/throttle.hpp)
target_link_libraries(spec_generate PUBLIC base_core spec)
