#!/bin/sh
# Programs find the library by pkg-config, and need nothing of what it is made of: test_pkgconfig.sh FOLDER VERSION, the
# folder of libpfgm.pc.
set -eu
export PKG_CONFIG_PATH="$1"
[ "$(pkg-config --modversion libpfgm)" = "$2" ] || { echo "version"; exit 1; }
case " $(pkg-config --libs libpfgm) " in *" -lpfgm "*) ;; *) echo "libs: $(pkg-config --libs libpfgm)"; exit 1 ;; esac
[ -z "$(pkg-config --print-requires libpfgm)" ] || { echo "requires: $(pkg-config --print-requires libpfgm)"; exit 1; }
