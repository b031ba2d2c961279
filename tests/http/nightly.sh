#!/bin/sh
# The long versions of the load tests: a cancellation storm of 1,000 among 2,000 others, and sixty seconds of ten times
# what the machine can do, with the daemon's one worker held to core 0 and compared with "pfgm bench" there; a hundred
# rounds of kill -9 in the middle of a job; the contract before judges from elsewhere; the proxies' configurations in
# conf/, and a rolling restart behind one of them; what jobs cost, and replicas behind a proxy; what the largest bodies
# cost, and the container's memory under the worst mix.
# nightly.sh BUILD_FOLDER [storm|throughput|killed|contract|proxies|fleet|haproxy|jobs|replicas|memory]
set -eu
build=$(cd "${1:?which build folder?}" && pwd)
cd "$(dirname "$0")"
export PFGMD="$build/src/daemon/pfgmd" PFGM="$build/src/cli/pfgm"
export MODELS="$PWD/../../conf/models" CONF="$PWD/../../conf" CLIENTS="$PWD/../../clients"
export HAVE_SYSTEMD="${HAVE_SYSTEMD:-1}" PYTHONDONTWRITEBYTECODE=1
case "${2:-all}" in all | storm) PFGM_STORM=1000 PFGM_OVERLOAD_S=60 python3 test_storm.py -v ;; esac
case "${2:-all}" in all | throughput) python3 nightly_throughput.py ;; esac
case "${2:-all}" in all | killed) JOBS_ROUNDS=100 python3 test_jobs_killed.py -v ;; esac
case "${2:-all}" in all | contract) sh nightly_contract.sh ;; esac
case "${2:-all}" in all | proxies) python3 nightly_proxies.py ;; esac
case "${2:-all}" in all | fleet) # one to a line: what fails to the left of "&&" would go unseen
    python3 nightly_fleet.py
    python3 nightly_poisoned.py
    python3 nightly_cluster.py ;; esac
case "${2:-all}" in all | haproxy) HAPROXY_REQUESTS=2000 python3 test_haproxy.py -v ;; esac
case "${2:-all}" in all | jobs) python3 nightly_jobs.py ;; esac
case "${2:-all}" in all | replicas) python3 nightly_replicas.py ;; esac
case "${2:-all}" in all | memory)
    COSTS_MIB=64 python3 test_costs.py -v Memory
    COSTS_MIB=64 python3 nightly_memory.py ;; esac
