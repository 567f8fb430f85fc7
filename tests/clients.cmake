# Clients as their users have them, each against a coracled of its own: the docker CLIs of other releases
# (tests/fetch-clients), python3-docker, dockerode and testcontainers (tests/clients). What could not be had is a failure.
# tests/run fills the folders; by hand:
#   tests/fetch-clients ~/.cache/coracle/clients
set(CORACLE_CLIENTS "$ENV{HOME}/.cache/coracle/clients" CACHE PATH "the folder that tests/fetch-clients filled")

# coracle_client(NAME SCRIPT [ENVIRONMENT…] [ARGUMENTS class…])
function(coracle_client name script)
  cmake_parse_arguments(T "" "" "ENVIRONMENT;ARGUMENTS" ${ARGN})
  add_test(NAME client_${name}
    COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/conformance/${script}_test.py ${T_ARGUMENTS})
  set_tests_properties(client_${name} PROPERTIES TIMEOUT 900 LABELS "conformance;clients" ENVIRONMENT
    "CORACLE_BIN=${CMAKE_BINARY_DIR}/bin;PYTHONDONTWRITEBYTECODE=1;CORACLE_CLIENTS=${CORACLE_CLIENTS};${T_ENVIRONMENT}")
endfunction()

foreach(version 20.10 26.1 28.5)
  coracle_client(docker-${version} client ENVIRONMENT "CORACLE_DOCKER=${CORACLE_CLIENTS}/docker-${version}")
  coracle_client(docker-${version}_guarded guarded ENVIRONMENT "CORACLE_DOCKER=${CORACLE_CLIENTS}/docker-${version}")
endforeach()
# What is run with this host's own docker CLI anyway, with the oldest and the newest too.
foreach(version 20.10 28.5)
  foreach(subject life run tty)
    coracle_client(docker-${version}_${subject} ${subject} ENVIRONMENT
      "CORACLE_DOCKER=${CORACLE_CLIENTS}/docker-${version}")
  endforeach()
endforeach()
coracle_client(python sdk_python)
coracle_client(dockerode sdk_node ARGUMENTS Dockerode)
coracle_client(testcontainers sdk_node ARGUMENTS Testcontainers)
