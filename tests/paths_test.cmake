# Proves that paths.cmake lets pass what is allowed, and finds what is not:
# cmake -DCHECK=tests/paths.cmake -P tests/paths_test.cmake
cmake_minimum_required(VERSION 3.25)

string(RANDOM LENGTH 12 name)
set(tree "/tmp/paths-test-${name}")

# expect(STATUS FILE LINE): a tree with this one line.
function(expect wanted file line)
  file(REMOVE_RECURSE "${tree}")
  file(WRITE "${tree}/${file}" "${line}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DTREE=${tree} -DPARTIAL=1 -P ${CHECK}
    RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE err)
  if(status EQUAL 0)
    set(got passes)
  elseif(err MATCHES "paths:" AND err MATCHES "${file}")
    set(got fails)
  else()
    set(got "breaks: ${err}")
  endif()
  file(REMOVE_RECURSE "${tree}")
  if(NOT got STREQUAL wanted)
    message(FATAL_ERROR "${file} with ${line}: ${got}, expected ${wanted}")
  endif()
endfunction()

expect(passes storage/x.cpp "at::open(dir, name, O_RDONLY)")
expect(passes storage/x.cpp "// See openat(2) and linkat(2).")
expect(passes engine/base/at.cpp "::linkat(a, b, c, d, 0)")
expect(passes storage/volumes/store.cpp "::statx(AT_FDCWD, dir.c_str(), AT_SYMLINK_NOFOLLOW, 0, &st)")
expect(fails storage/x.cpp "::linkat(root, path, into, name, 0)")
expect(fails storage/x.cpp "  if (linkat (root, path, into, name, 0) == 0)")
expect(fails storage/x.hpp "UniqueFd fd(::openat(")
expect(fails engine/runtime/x.cpp "::fchmodat(dir, name, mode, 0)")
expect(fails storage/volumes/store.cpp "::statx(dir.get(), path.c_str(), 0, 0, &st)")
expect(fails netstack/x.cpp "renameat2(a, b, c, d, 0)")
expect(fails shim/x.cpp "::unlinkat(AT_FDCWD, path.c_str(), 0)")
