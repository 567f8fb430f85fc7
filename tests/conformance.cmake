# The unmodified docker CLI against a coracled of its own, as the unprivileged user who runs ctest; each on
# every storage driver that storage decides about.
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)

# The daemon is no place for the leak check: it would need ptrace(2) of a process that is not dumpable.
set(asan_options "")
if(CORACLE_ASAN)
  set(asan_options ";ASAN_OPTIONS=detect_leaks=0:abort_on_error=1;UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1")
endif()

set(optimized "")
if(CMAKE_BUILD_TYPE MATCHES "^Rel|^MinSize")
  set(optimized ";CORACLE_OPTIMIZED=1")
endif()

function(coracle_conformance subject driver)
  set(name conformance_${subject}_${driver})
  add_test(NAME ${name}
    COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/conformance/${subject}_test.py)
  set_tests_properties(${name} PROPERTIES TIMEOUT 900 LABELS conformance
    ENVIRONMENT "CORACLE_BIN=${CMAKE_BINARY_DIR}/bin;CORACLE_DRIVER=${driver};PYTHONDONTWRITEBYTECODE=1${asan_options}${optimized}")
endfunction()

# What a driver does differently shows in cp, diff and commit; how it mounts, in what run asks of a root.
foreach(driver overlay fuse-overlayfs copy)
  coracle_conformance(copy ${driver})
  coracle_conformance(commit ${driver})
endforeach()
coracle_conformance(run overlay)
coracle_conformance(run fuse-overlayfs)
coracle_conformance(image overlay)
foreach(subject life tty network restart keeper isolation api userland pause health policy events crash pull load volume mount socket namespace keepid device stats list prune check logs attach exec push guarded trust image_fault escape)
  coracle_conformance(${subject} overlay)
endforeach()
set_tests_properties(conformance_escape_overlay PROPERTIES TIMEOUT 1800)
# These have limits of time.
set_tests_properties(conformance_load_overlay conformance_list_overlay PROPERTIES RUN_SERIAL ON)
if(CORACLE_FAILPOINTS)
  coracle_conformance(fault overlay)
endif()
