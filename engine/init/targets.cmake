# coracle-init: pid 1 of --init, bound into containers: static, and of libstdc++ it needs nothing.
add_executable(coracle-init init/main.cpp)
target_compile_options(coracle-init PRIVATE -fno-exceptions -fno-rtti)
target_link_options(coracle-init PRIVATE -static)
if(CORACLE_ASAN)
  # Without the sanitizers: they have no static libraries, and an image has none at all.
  target_compile_features(coracle-init PRIVATE cxx_std_23)
else()
  target_link_libraries(coracle-init PRIVATE coracle_flags)
endif()
install(TARGETS coracle-init DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/coracle)
