# Checks that no *at() system call is made with a path of several names: cmake -DTREE=DIR -P tests/paths.cmake
#
# Between two names of a path, whoever has the tree can put a link. So the sources make such calls by the functions
# of engine/base/at.hpp, which take one name and refuse anything else, or resolve a whole path by openat2(2)
# (engine/base/path.hpp). What else there is stands here, line by line: "file|what the call begins with". A file or a
# beginning that is not there any more is an error, too: the list does not outlive its reasons.
cmake_minimum_required(VERSION 3.25)

set(CALLS "openat|openat2|linkat|renameat|renameat2|mkdirat|mkfifoat|unlinkat|symlinkat|fchownat|fchmodat|fchmodat2|fstatat|fstatat64|newfstatat|readlinkat|mknodat|utimensat|futimesat|faccessat|faccessat2|execveat|statx|name_to_handle_at|scandirat")
# The functions that take a single name.
set(WRAPPERS "engine/base/at[.]cpp")
set(EXCEPTIONS
  # Paths of our own, from the root: AT_FDCWD.
  "engine/bundle/host_devices.cpp|faccessat(AT_FDCWD, path.c_str(), R_OK"
  "engine/monitor/streams/log_file.cpp|utimensat(AT_FDCWD, unfinished().c_str()"
  "storage/volumes/store.cpp|statx(AT_FDCWD, dir.c_str(), AT_SYMLINK_NOFOLLOW"
  # The open file itself: an empty path.
  "engine/files/root_view.cpp|readlinkat(found->get(), \"\""
  "storage/archive/places.cpp|readlinkat(link.get(), \"\""
  "engine/base/private_dir.cpp|readlinkat(next.get(), \"\""
  # The folder above.
  "engine/base/private_dir.cpp|openat(in.get(), \"..\", O_PATH"
  # A sysctl's file in a procfs of our own, which holds no links that somebody else made.
  "engine/runtime/init.cpp|openat(proc.get(), path.c_str(), O_WRONLY")

set(violations "")
set(used "")
file(GLOB_RECURSE files RELATIVE "${TREE}" "${TREE}/engine/*.[ch]pp" "${TREE}/storage/*.[ch]pp"
  "${TREE}/netstack/*.[ch]pp" "${TREE}/shim/*.[ch]pp")
list(SORT files)
foreach(file IN LISTS files)
  if(file MATCHES "^${WRAPPERS}$")
    continue()
  endif()
  file(STRINGS "${TREE}/${file}" lines REGEX "(^|[^A-Za-z0-9_])(${CALLS})[ \t]*[(]")
  foreach(line IN LISTS lines)
    # Comments name the calls as man pages do, with a section: openat(2).
    string(REGEX REPLACE "//.*$" "" code "${line}")
    if(NOT code MATCHES "(^|[^A-Za-z0-9_])(${CALLS})[ \t]*[(]")
      continue()
    endif()
    set(allowed FALSE)
    foreach(exception IN LISTS EXCEPTIONS)
      string(FIND "${exception}" "|" bar)
      string(SUBSTRING "${exception}" 0 ${bar} where)
      math(EXPR rest "${bar} + 1")
      string(SUBSTRING "${exception}" ${rest} -1 what)
      string(FIND "${code}" "${what}" at)
      if(file STREQUAL where AND NOT at EQUAL -1)
        set(allowed TRUE)
        list(APPEND used "${exception}")
      endif()
    endforeach()
    if(NOT allowed)
      string(STRIP "${code}" code)
      string(APPEND violations "${file}: ${code}\n")
    endif()
  endforeach()
endforeach()
if(NOT PARTIAL)
  foreach(exception IN LISTS EXCEPTIONS)
    if(NOT exception IN_LIST used)
      string(APPEND violations "tests/paths.cmake: nothing needs the exception ${exception}\n")
    endif()
  endforeach()
endif()

list(LENGTH files count)
if(count EQUAL 0)
  message(FATAL_ERROR "no sources below '${TREE}'")
endif()
if(violations)
  message(FATAL_ERROR "paths: calls that engine/base/at.hpp is for:\n${violations}")
endif()
message(STATUS "paths: ${count} files keep to single names")
