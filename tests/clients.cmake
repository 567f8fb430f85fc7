# Clients as their users have them, each against a coracled of its own: the docker CLIs of other releases
# (tests/fetch-clients), python3-docker, dockerode and testcontainers (tests/clients). What could not be had is a failure.
# tests/run fills the folders; by hand:
#   tests/fetch-clients ~/.cache/coracle/clients
set(CORACLE_CLIENTS "$ENV{HOME}/.cache/coracle/clients" CACHE PATH "the folder that tests/fetch-clients filled")

function(coracle_client name script)
  add_test(NAME client_${name}
    COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/conformance/${script}_test.py)
  set_tests_properties(client_${name} PROPERTIES TIMEOUT 900 LABELS "conformance;clients"
    ENVIRONMENT "CORACLE_BIN=${CMAKE_BINARY_DIR}/bin;PYTHONDONTWRITEBYTECODE=1;CORACLE_CLIENTS=${CORACLE_CLIENTS};${ARGN}")
endfunction()

if(TARGET coracled)
  foreach(version 20.10 26.1 28.5)
    coracle_client(docker-${version} client "CORACLE_DOCKER=${CORACLE_CLIENTS}/docker-${version}")
  endforeach()
endif()
