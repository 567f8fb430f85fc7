# Checks the includes of the tree against the layers of CONTRIBUTING.md: cmake -DTREE=DIR -P tests/layers.cmake
#
#   shim ──▶ engine ──▶ storage/storage.hpp ──▶ engine/base     tests and packaging see everything; nothing sees them
#             └─────▶ netstack/client.hpp ──▶ engine/base
# A rule is "folder|what its files may include of ours": regular expressions, the first rule that matches a file holds.
cmake_minimum_required(VERSION 3.25)

set(BASE "engine/base/.*")
# What storage speaks in: values, without class Storage.
set(VALUES "storage/(config|credentials|damaged|descriptor|image|mount_plan|progress|reference|volume)[.]hpp")
set(RULES
  "engine/base/|${BASE}"
  "engine/spec/|engine/spec/.* engine/types[.]hpp ${BASE}"
  "engine/runtime/|engine/runtime/.* engine/spec/.* ${BASE}"
  "engine/monitor/|engine/monitor/.* engine/runtime/.* engine/spec/.* ${BASE}"
  "engine/init/|engine/init/.* ${BASE}"
  "engine/rootless/|engine/rootless/.* netstack/(client|protocol|takeover)[.]hpp ${BASE}"
  # The engine proper: the monitor is met through its protocol only. engine/build is part of it.
  "engine/|engine/[^/]*[.]hpp engine/(container|build|spec|runtime)/.* engine/monitor/protocol[.]hpp engine/rootless/(keeper|protocol)[.]hpp storage/(storage|files|check)[.]hpp ${VALUES} netstack/(client|protocol|takeover)[.]hpp ${BASE}"
  "storage/|storage/.* ${BASE}"
  "netstack/|netstack/.* ${BASE}"
  # main builds the objects and wires them, the one place that does.
  "shim/main[.]cpp|shim/.* engine/.* netstack/client[.]hpp"
  # The face speaks of images and volumes in storage's value types.
  "shim/|shim/.* engine/engine[.]hpp engine/(types|archive|update|stats|usage)[.]hpp ${VALUES} ${BASE}")
# What is heavy, or must be there once: "header|the files that may include it".
set(RESERVED
  "boost/beast|shim/http/[^/]*[.]cpp"
  "spdlog/|engine/base/log[.]cpp"
  "boost/json/src[.]hpp|engine/base/json[.]cpp"
  # Patterns come from clients: RE2 alone is linear, in one place that bounds them.
  "re2/|engine/container/pattern[.]cpp"
  "regex|no file"
  "boost/regex|no file"
  "boost/xpressive|no file")

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
      if(NOT EXISTS "${TREE}/${header}")
        complain("${file}" "${line}" "an include of ours starts at the root of the tree")
        continue()
      endif()
      foreach(rule IN LISTS RULES)
        string(REGEX MATCH "^([^|]+)[|](.*)$" matched "${rule}")
        set(folder "${CMAKE_MATCH_1}")
        string(REPLACE " " "|" allowed "${CMAKE_MATCH_2}")
        if(file MATCHES "^${folder}")
          if(NOT header MATCHES "^(${allowed})$")
            complain("${file}" "${line}" "files in ${folder} may include only ${allowed}")
          endif()
          break()
        endif()
      endforeach()
    elseif(line MATCHES "include[ \t]*<([^>]+)>")
      set(header "${CMAKE_MATCH_1}")
      foreach(rule IN LISTS RESERVED)
        string(REGEX MATCH "^([^|]+)[|](.*)$" matched "${rule}")
        set(reserved "${CMAKE_MATCH_1}")
        set(allowed "${CMAKE_MATCH_2}")
        if(header MATCHES "^${reserved}" AND NOT file MATCHES "^${allowed}$")
          complain("${file}" "${line}" "only ${allowed} may include ${reserved}")
        endif()
      endforeach()
    endif()
  endforeach()
endforeach()

list(LENGTH files count)
if(count EQUAL 0)
  message(FATAL_ERROR "no sources below '${TREE}'")
endif()
if(violations)
  message(FATAL_ERROR "layers:\n${violations}")
endif()
message(STATUS "layers: ${count} files keep to them")
