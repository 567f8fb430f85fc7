# runtime: carries out an OCI specification. Linked into coracle-monitor, one static program: no
# asio, no log, no threads.
pkg_check_modules(SECCOMP REQUIRED libseccomp)
find_library(SECCOMP_STATIC NAMES libseccomp.a REQUIRED)

add_library(runtime STATIC
  runtime/plan.cpp runtime/mount_api.cpp runtime/mount_point.cpp runtime/mount_rules.cpp
  runtime/root_file_system.cpp runtime/devices.cpp runtime/copy_up.cpp runtime/rootfs.cpp runtime/privileges.cpp
  runtime/user_lookup.cpp runtime/seccomp.cpp runtime/seccomp_cache.cpp runtime/report.cpp
  runtime/exec_watch.cpp runtime/foreign_procfs.cpp runtime/child.cpp runtime/become.cpp runtime/init.cpp runtime/launch.cpp runtime/join.cpp)
target_sources(runtime PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES
  runtime/root_mount.hpp runtime/plan.hpp runtime/mount_api.hpp runtime/mount_point.hpp
  runtime/mount_rules.hpp
  runtime/root_file_system.hpp runtime/devices.hpp runtime/copy_up.hpp runtime/rootfs.hpp
  runtime/privileges.hpp runtime/user_lookup.hpp runtime/seccomp.hpp runtime/seccomp_cache.hpp
  runtime/report.hpp runtime/exec_watch.hpp runtime/foreign_procfs.hpp runtime/child.hpp runtime/become.hpp runtime/init.hpp runtime/launch.hpp
  runtime/join.hpp)
target_include_directories(runtime SYSTEM PUBLIC ${SECCOMP_INCLUDE_DIRS})
target_link_libraries(runtime PUBLIC base_static ${SECCOMP_STATIC})

# What the engine mounts by itself: the root of a container that does not run, for its files.
add_library(root_mounts STATIC
  runtime/mount_api.cpp runtime/mount_point.cpp runtime/root_file_system.cpp)
target_link_libraries(root_mounts PUBLIC base_core)

# What the engine looks up in an image's files.
add_library(user_lookup STATIC runtime/user_lookup.cpp)
target_link_libraries(user_lookup PUBLIC base_core spec)

# What the engine asks about this host; it needs nothing of the above.
add_library(cgroup STATIC runtime/cgroup.cpp)
target_sources(cgroup PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES runtime/cgroup.hpp)
target_link_libraries(cgroup PUBLIC base_core)
