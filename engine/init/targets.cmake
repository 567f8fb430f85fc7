# coracle-init: pid 1 of --init, bound into containers: static, and of libstdc++ it needs nothing.
add_executable(coracle-init init/main.cpp)
target_link_libraries(coracle-init PRIVATE coracle_flags)
target_compile_options(coracle-init PRIVATE -fno-exceptions -fno-rtti)
target_link_options(coracle-init PRIVATE -static)
if(CORACLE_ASAN)
  # The sanitizers have no static libraries, and an image has none at all.
  target_compile_options(coracle-init PRIVATE -fno-sanitize=all)
  target_link_options(coracle-init PRIVATE -fno-sanitize=all)
endif()
install(TARGETS coracle-init DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/coracle)
