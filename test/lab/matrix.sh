#!/usr/bin/env bash
# matrix.sh [--changed | --readme] [--wide] [VERSION...] [-- FILE...]
#
# Runs the hazards and the kinds of VM (the tests of the project `matrix`; of those, the files with FILE in their
# path) on each VERSION of libvirt, of those in debian.sh; without one, on all of them. Prints what became of each
# hazard on which version. Says at the end what it ran on which version, and ends with 1 when not all is well, a version
# that cannot be built included. $AT_ONCE versions run at once. Needs root, and the built kvmsnap.
#
#   --wide      all that depends on the version of libvirt, the tests of the commands too: 15 minutes
#   --readme    writes that table into src/manual/hazards.md, which the tests are then not held against
#   --changed   for CI: of long tables only a share (test/lab/share.ts). Leaves out this machine's own version, which the
#               whole lab has run on, and each other version on which exactly these sources have passed before on this
#               machine; but never one of those in $ALWAYS.
#               A mirror that is down must not stop us: a version that cannot be built is NOT RUN, and said so, exit 0
set -euo pipefail
umask 022

ALWAYS='9.0 12.8'
# Tests wait half of their time: this many keep the processors busy.
AT_ONCE=$((2 * $(nproc)))
# What the outcome may depend on; the contents count, not the history.
SOURCES='src test/hazards test/kinds.lab.test.ts test/lab test/scene'

lab=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
cd -- "$lab/../.."
passed=${XDG_CACHE_HOME:-/var/cache}/kvmsnap-lab/passed

sources_hash() {
  # shellcheck disable=SC2086 # a list of words
  find $SOURCES -type f ! -name '*.md' -print0 -o -name hazards.md -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
}

own_version() { virsh --version 2>/dev/null | cut -d. -f1,2; }

# Why a version need not run, with --changed; nothing when it must.
reason_to_skip() { # VERSION
  if [ "$1" = "$(own_version)" ]; then echo 'the whole lab runs on it, being the version of this machine'; return; fi
  case " $ALWAYS " in *" $1 "*) return ;; esac
  [ ! -e "$passed/$1-$hash" ] || echo 'nothing that it depends on has changed since all passed on it'
}

# Starts the tests; beside their log, `versions` tells what they ran on.
begin() { # VERSION
  local results=$scratch/$1
  mkdir "$results"
  # shellcheck disable=SC2016 # expands in the lab
  "$lab/enter.sh" --libvirt "$1" sh -c '
    virsh version --daemon >&3
    NO_COLOR=1 node_modules/.bin/vitest run --config test/vitest.config.ts --project "$KVMSNAP_MATRIX" \
      --reporter=default --reporter=json --outputFile.json="$KVMSNAP_LAB/../tests.json" "$@" || failed=$?
    cat "$KVMSNAP_LAB/../tests.json" >&4
    exit "${failed:-0}"
  ' sh "${files[@]}" >"$results/log" 2>&1 3>"$results/versions" 4>"$results/tests.json" </dev/null &
  version_of[$!]=$1
}

# Waits for one of them; tells the whole story of one that failed.
finish_one() {
  local process code=0 version
  wait -n -p process || code=$?
  version=${version_of[$process]}
  unset "version_of[$process]"
  if [ "$code" = 0 ]; then
    [ "${#files[@]}" != 0 ] || { mkdir -p "$passed" && : >"$passed/$version-$hash"; }
    told+=("$version: $(summary "$version")")
  elif [ -n "$changed" ] && [ ! -s "$scratch/$version/versions" ] && { [ "$code" = 9 ] || [ "$code" = 125 ]; }; then
    printf '\n==== libvirt %s cannot be built here\n' "$version"
    cat -- "$scratch/$version/log"
    told+=("$version: NOT RUN, for it could not be built (exit $code)")
  else
    printf '\n==== libvirt %s: exit %s\n' "$version" "$code"
    cat -- "$scratch/$version/log"
    told+=("$version: FAILED, exit $code, $(summary "$version")")
    failed=1
  fi
}

summary() { # VERSION
  local libvirt qemu tests
  libvirt=$(sed -n 's/^Running against daemon: //p' "$scratch/$1/versions")
  qemu=$(sed -n 's/^Running hypervisor: //p' "$scratch/$1/versions")
  tests=$(sed -n 's/^ *Tests  *//p' "$scratch/$1/log" | tail -n 1)
  echo "${tests:-no test was run}${libvirt:+, with libvirt $libvirt and $qemu}"
}

changed=
readme=
export KVMSNAP_MATRIX=matrix
# it would win over the one worker that a lab must have
unset VITEST_MAX_WORKERS
while :; do
  case ${1-} in
    --changed) changed=yes ;;
    --readme) readme=yes && export UPDATE_README=1 ;;
    --wide) KVMSNAP_MATRIX=matrix-wide ;;
    *) break ;;
  esac
  shift
done
case ${1-} in --) ;; -*) sed -n '2,/^set -/s/^# \{0,1\}//p' "$0" >&2; [ "$1" = --help ] && exit 0 || exit 2 ;; esac
known=$("$lab/debian.sh" --list | cut -d' ' -f1)
wanted=()
while [ $# != 0 ] && [ "$1" != -- ]; do wanted+=("$1") && shift; done
[ $# = 0 ] || shift
files=("$@")
[ -z "$readme" ] || [ "${#wanted[@]}${#files[@]}$changed" = 00 ] || { echo 'matrix: the page wants all of it' >&2; exit 2; }
[ "${#wanted[@]}" != 0 ] || mapfile -t wanted <<<"$known"
for version in "${wanted[@]}"; do
  grep -qxF -- "$version" <<<"$known" || { echo "matrix: no libvirt $version; there are: ${known//$'\n'/ }" >&2; exit 2; }
done

# CI has minutes
[ -n "$changed" ] || export KVMSNAP_TESTS=all
scratch=$(mktemp -d)
declare -A version_of=()
told=()
failed=0
hash=$(sources_hash)
trap 'rm -rf "$scratch"' EXIT
# an unfinished lab ends by itself when it is told to
trap '[ "${#version_of[@]}" = 0 ] || kill -s TERM "${!version_of[@]}" 2>/dev/null; exit 143' INT TERM HUP

# marks of sources that are history by now
[ ! -d "$passed" ] || find "$passed" -type f -mtime +30 -delete

for version in "${wanted[@]}"; do
  reason=${changed:+$(reason_to_skip "$version")}
  if [ -n "$reason" ]; then
    told+=("$version: not run here: $reason")
    continue
  fi
  [ "${#version_of[@]}" -lt "$AT_ONCE" ] || finish_one
  begin "$version"
done
while [ "${#version_of[@]}" -gt 0 ]; do finish_one; done

tables=()
for version in "${wanted[@]}"; do
  [ ! -s "$scratch/$version/tests.json" ] || tables+=("$version=$scratch/$version/tests.json")
done
table=
[ "$failed${#files[@]}" != 00 ] || table=--${readme:+readme}
[ "$table" != -- ] || table=--whole
[ "${#tables[@]}" = 0 ] || node "$lab/matrix-table.mjs" $table "${tables[@]}" || failed=1
printf '\nlibvirt matrix\n'
printf '  %s\n' "${told[@]}" | sort -V
exit "$failed"
