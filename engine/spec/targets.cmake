# spec: OCI and seccomp profile types; spec_static is the flavour for the programs that are linked
# statically. Configuration -> specification stands in generate.cmake.
set(SPEC_SOURCES spec/seccomp_profile.cpp)
set(SPEC_HEADERS spec/oci.hpp spec/seccomp_profile.hpp)
set_source_files_properties(spec/seccomp_profile.cpp PROPERTIES
  OBJECT_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/spec/default_seccomp.json
  COMPILE_OPTIONS "-Wa,-I${CMAKE_CURRENT_SOURCE_DIR}/spec")

add_library(spec_static STATIC ${SPEC_SOURCES})
target_link_libraries(spec_static PUBLIC base_static)

add_library(spec STATIC ${SPEC_SOURCES})
target_sources(spec PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES ${SPEC_HEADERS})
target_link_libraries(spec PUBLIC base_core)
