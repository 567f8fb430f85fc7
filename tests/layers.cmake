# Checks the includes of the tree against the layers of CONTRIBUTING.md: cmake -DTREE=DIR -P tests/layers.cmake
#
#   shim ──▶ engine ──▶ storage/storage.hpp ──▶ engine/base     tests and packaging see everything; nothing sees them
#             └─────▶ netstack/client.hpp ──▶ engine/base
# A rule is "files -> what they may include of ours": regular expressions, the first rule that matches a file holds.
cmake_minimum_required(VERSION 3.25)

set(BASE "engine/base/.*")
# What storage speaks in: values, without class Storage.
set(VALUES "storage/(content/(config|damaged|descriptor|progress|trust_policy)|images/(image|platform|reference)|registry/(credentials|remote_image|search_result)|snapshots/mount_plan|volumes/volume)[.]hpp")
set(FACE "engine/face/.* ${VALUES}")
# What the daemon's rooms stand on.
set(FLOOR "${FACE} engine/(spec|runtime)/.* engine/monitor/protocol[.]hpp engine/rootless/(keeper|protocol)[.]hpp storage/(storage|files|check)[.]hpp netstack/(client|protocol|takeover)[.]hpp ${BASE}")
set(CONTEXT "engine/(events|context)[.]hpp engine/(request|container)/.*")
set(RULES
  "engine/base/tree/ -> ${BASE}"
  "engine/base/ipc/ -> engine/base/[^/]*[.]hpp engine/base/ipc/.*"
  "engine/base/async/ -> engine/base/[^/]*[.]hpp engine/base/async/.*"
  "engine/base/process/ -> engine/base/[^/]*[.]hpp engine/base/(async|process)/.*"
  "engine/base/ -> engine/base/[^/]*[.]hpp"
  "engine/face/ -> ${FACE} ${BASE}"
  "engine/spec/ -> engine/spec/.* engine/face/(types|container_config|host_config)[.]hpp ${BASE}"
  "engine/runtime/mounts/ -> engine/runtime/mounts/.* engine/spec/.* ${BASE}"
  "engine/runtime/ -> engine/runtime/.* engine/spec/.* ${BASE}"
  "engine/monitor/streams/ -> engine/monitor/streams/.* engine/monitor/protocol[.]hpp engine/runtime/launch[.]hpp ${BASE}"
  "engine/monitor/ -> engine/monitor/.* engine/runtime/.* engine/spec/.* ${BASE}"
  "engine/init/ -> engine/init/.* ${BASE}"
  "engine/rootless/ -> engine/rootless/.* netstack/(client|protocol|takeover)[.]hpp ${BASE}"
  # The daemon's rooms, from the bottom; each may include what stands before it. The monitor is met through its protocol only.
  "engine/container/ -> engine/container/.* ${FLOOR}"
  "engine/request/ -> engine/request/.* engine/container/record[.]hpp ${FLOOR}"
  "engine/(events|context) -> ${CONTEXT} ${FLOOR}"
  "engine/volumes/ -> engine/volumes/.* ${CONTEXT} ${FLOOR}"
  "engine/logs/ -> engine/logs/.* ${CONTEXT} ${FLOOR}"
  "engine/network/ -> engine/network/.* ${CONTEXT} ${FLOOR}"
  "engine/bundle/ -> engine/(bundle|network)/.* ${CONTEXT} ${FLOOR}"
  "engine/keeper_watch -> engine/keeper_watch[.]hpp engine/network/.* ${CONTEXT} ${FLOOR}"
  "engine/exec/ -> engine/(exec|logs)/.* ${CONTEXT} ${FLOOR}"
  "engine/inspect/ -> engine/(inspect|network)/.* engine/bundle/cdi_files[.]hpp engine/keeper_watch[.]hpp ${CONTEXT} ${FLOOR}"
  "engine/lifecycle/ -> engine/(lifecycle|exec|bundle|network|logs|volumes)/.* engine/keeper_watch[.]hpp ${CONTEXT} ${FLOOR}"
  "engine/files/ -> engine/(files|lifecycle|bundle)/.* ${CONTEXT} ${FLOOR}"
  "engine/images -> engine/images[.]hpp ${CONTEXT} ${FLOOR}"
  "engine/containers -> engine/containers[.]hpp engine/(lifecycle|inspect)/.* ${CONTEXT} ${FLOOR}"
  "engine/prune -> engine/(prune|images)[.]hpp engine/(lifecycle|inspect|volumes)/.* ${CONTEXT} ${FLOOR}"
  "engine/check -> engine/check[.]hpp engine/container/.* ${FLOOR}"
  "engine/reset -> engine/reset[.]hpp ${FLOOR}"
  # It opens the rooms and wires them.
  "engine/engine -> engine/[^/]*[.]hpp engine/(container|exec|files|inspect|lifecycle|logs|network|request|volumes)/.* ${FLOOR}"
  "storage/content/ -> storage/content/.* ${BASE}"
  "storage/archive/ -> storage/(archive|content)/.* ${BASE}"
  "storage/unpacker/ -> storage/(unpacker|archive|content)/.* ${BASE}"
  "storage/snapshots/ -> storage/(snapshots|unpacker|archive|content)/.* ${BASE}"
  "storage/images/ -> storage/(images|snapshots|unpacker|archive|content)/.* ${BASE}"
  "storage/registry/ -> storage/(registry|images|snapshots|content)/.* ${BASE}"
  "storage/volumes/ -> storage/(volumes|snapshots|content)/.* ${BASE}"
  "storage/ -> storage/.* ${BASE}"
  "netstack/base/ -> netstack/base/.* ${BASE}"
  "netstack/(client|protocol|takeover) -> netstack/(client|protocol|takeover)[.]hpp ${BASE}"
  "netstack/bridge/ -> netstack/(bridge|base)/.* ${BASE}"
  "netstack/dns/ -> netstack/(dns|base)/.* ${BASE}"
  "netstack/slirp/ -> netstack/(slirp|base)/.* ${BASE}"
  "netstack/relay/ -> netstack/(relay|base)/.* netstack/protocol[.]hpp ${BASE}"
  "netstack/ -> netstack/.* ${BASE}"
  # main builds the objects and wires them, the one place that does.
  "shim/(main|set_up|commands)[.][ch]pp -> shim/.* engine/.* netstack/client[.]hpp"
  "shim/http/ -> shim/http/.* ${BASE}"
  "shim/wire/ -> shim/(wire|http)/.* ${FACE} ${BASE}"
  "shim/api/ -> shim/(api|wire|http)/.* engine/engine[.]hpp ${FACE} ${BASE}"
  "shim/ -> shim/.* engine/face/config[.]hpp storage/content/trust_policy[.]hpp ${BASE}")
# What is heavy, or must be there once: "header -> the files that may include it".
set(RESERVED
  "boost/beast -> shim/http/[^/]*[.]cpp"
  "spdlog/ -> engine/base/log[.]cpp"
  "boost/json/src[.]hpp -> engine/base/json[.]cpp"
  # Patterns come from clients: RE2 alone is linear, in one place that bounds them.
  "re2/ -> engine/request/filter[.]cpp"
  "regex -> no file"
  "boost/regex -> no file"
  "boost/xpressive -> no file")

set(violations "")
function(complain file line why)
  string(APPEND violations "${file}:${line}: ${why}\n")
  set(violations "${violations}" PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE files RELATIVE "${TREE}" "${TREE}/engine/*.[ch]pp" "${TREE}/storage/*.[ch]pp"
  "${TREE}/netstack/*.[ch]pp" "${TREE}/shim/*.[ch]pp")
list(SORT files)
foreach(file IN LISTS files)
  file(STRINGS "${TREE}/${file}" lines REGEX "^[ \t]*#[ \t]*include[ \t]")
  foreach(line IN LISTS lines)
    if(line MATCHES "include[ \t]*\"([^\"]+)\"")
      set(header "${CMAKE_MATCH_1}")
      string(MAKE_C_IDENTIFIER "${header}" key)
      if(NOT DEFINED includers_${key})
        set(includers_${key} 0)
      endif()
      math(EXPR includers_${key} "${includers_${key}} + 1")
      if(NOT EXISTS "${TREE}/${header}")
        complain("${file}" "${line}" "an include of ours starts at the root of the tree")
        continue()
      endif()
      foreach(rule IN LISTS RULES)
        string(REGEX MATCH "^(.*) -> (.*)$" matched "${rule}")
        set(folder "${CMAKE_MATCH_1}")
        set(allowed "${CMAKE_MATCH_2}")
        if(file MATCHES "^${folder}")
          # One by one: an expression of CMake's holds few parentheses.
          string(REPLACE " " ";" patterns "${allowed}")
          set(fits NO)
          foreach(pattern IN LISTS patterns)
            if(header MATCHES "^${pattern}$")
              set(fits YES)
              break()
            endif()
          endforeach()
          if(NOT fits)
            complain("${file}" "${line}" "files of ${folder} may include only ${allowed}")
          endif()
          break()
        endif()
      endforeach()
    elseif(line MATCHES "include[ \t]*<([^>]+)>")
      set(header "${CMAKE_MATCH_1}")
      foreach(rule IN LISTS RESERVED)
        string(REGEX MATCH "^(.*) -> (.*)$" matched "${rule}")
        set(reserved "${CMAKE_MATCH_1}")
        set(allowed "${CMAKE_MATCH_2}")
        if(header MATCHES "^${reserved}" AND NOT file MATCHES "^${allowed}$")
          complain("${file}" "${line}" "only ${allowed} may include ${reserved}")
        endif()
      endforeach()
    endif()
  endforeach()
endforeach()

# A room is read at a look, and a header that many include is light.
set(MOST_FILES 40)
set(MOST_LINES 4000)
set(LONGEST_HEADER 300)
set(MANY 10)
# Set in the caller: how many lines the file has.
function(count_lines file result)
  file(READ "${TREE}/${file}" text)
  string(REGEX REPLACE "[^\n]" "" newlines "${text}")
  string(LENGTH "${newlines}" lines)
  set(${result} ${lines} PARENT_SCOPE)
endfunction()
set(rooms "")
foreach(file IN LISTS files)
  get_filename_component(room "${file}" DIRECTORY)
  string(MAKE_C_IDENTIFIER "${room}" key)
  if(NOT room IN_LIST rooms)
    list(APPEND rooms "${room}")
    set(files_${key} 0)
    set(lines_${key} 0)
  endif()
  count_lines("${file}" lines)
  math(EXPR files_${key} "${files_${key}} + 1")
  math(EXPR lines_${key} "${lines_${key}} + ${lines}")
  if(lines GREATER LONGEST_HEADER AND file MATCHES "[.]hpp$")
    string(MAKE_C_IDENTIFIER "${file}" header)
    if(includers_${header} GREATER MANY)
      string(APPEND violations "${file}: ${lines} lines, which ${includers_${header}} files include: at most ${LONGEST_HEADER}\n")
    endif()
  endif()
endforeach()
foreach(room IN LISTS rooms)
  string(MAKE_C_IDENTIFIER "${room}" key)
  if(files_${key} GREATER MOST_FILES OR lines_${key} GREATER MOST_LINES)
    string(APPEND violations "${room}/: ${files_${key}} files, ${lines_${key}} lines: at most ${MOST_FILES} and ${MOST_LINES}\n")
  endif()
endforeach()

list(LENGTH files count)
if(count EQUAL 0)
  message(FATAL_ERROR "no sources below '${TREE}'")
endif()
if(violations)
  message(FATAL_ERROR "layers:\n${violations}")
endif()
message(STATUS "layers: ${count} files keep to them")
