#!/usr/bin/env bash
# enter.sh [--user] [--tests] COMMAND [ARGUMENT...]
# enter.sh --libvirt VERSION COMMAND [ARGUMENT...]
#
# Runs COMMAND in a fresh lab with a libvirtd of its own, and ends with its exit code (128+N after signal N).
# Nothing of the host's libvirt is seen or touched in there, and nothing is left of it, however it ends.
#
#   root        qemu:///system, in private mount, PID and network namespaces: of the network it has only a loopback
#   any user    qemu:///session, in private XDG directories; with --user root becomes $SUDO_UID or nobody
#
# With --libvirt (root only), all software but Node.js is that of the Debian with this libvirt, see debian.sh. The
# repository and the working directory are where they always are; all else that COMMAND writes is forgotten.
#
# --tests asks for software too that only kvmsnap's tests need: cron, systemd, zsh, fish, bash-completion, OVMF,
# OpenSSH's server, promtool and node_exporter of Prometheus, and nbdcopy where there is a package of it.
# COMMAND finds a directory for images in $KVMSNAP_LAB. Several labs may run at once, or one in another.
# Own exit codes: 2 usage, 9 software is missing, 125 the lab could not be set up.
set -euo pipefail
umask 022

self=$(readlink -f -- "${BASH_SOURCE[0]}")
repository=$(readlink -f -- "${self%/*}/../..")
daemon_path=$PATH:/usr/sbin:/sbin:/usr/local/sbin
# In a lab: the network namespace of the host, for what has to be downloaded.
host_network=/run/host-network
cpus=$(taskset -p -c $$ | sed 's/.*: *//')

die() { local code=$1; shift; printf 'lab: %s\n' "$@" >&2; exit "$code"; }

# ---- software -------------------------------------------------------------------------------------------

# Runs a command that downloads something: in a lab, which has no network, in that of the host.
online() { # COMMAND...
  if [ "$EUID" = 0 ] && [ -e "$host_network" ]; then nsenter --net="$host_network" "$@"; else "$@"; fi
}

missing_tools() {
  local tool tools='virsh qemu-img qemu-io qemu-system-x86_64 libvirtd virtlogd ip'
  for tool in $tools ${tests:+systemd-analyze crontab zsh fish promtool ssh sshd}; do
    PATH=$daemon_path command -v "$tool" >/dev/null || printf ' %s' "$tool"
  done
  compgen -G '/usr/lib*/libvirt/connection-driver/libvirt_driver_qemu.so' >/dev/null ||
    compgen -G '/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so' >/dev/null ||
    printf ' libvirt-qemu-driver'
  [ -z "$tests" ] || ! command -v apt-get >/dev/null || PATH=$daemon_path command -v nbdcopy >/dev/null || printf ' nbdcopy'
  [ -z "$tests" ] || [ -e /usr/share/bash-completion/bash_completion ] || printf ' bash-completion'
  [ -z "$tests" ] || PATH=$daemon_path command -v prometheus-node-exporter node_exporter >/dev/null || printf ' node_exporter'
  [ -z "$tests" ] || [ -n "$(find /usr/share/{OVMF,edk2,qemu}/ -iname 'ovmf*code*' 2>/dev/null)" ] || printf ' ovmf'
}

# The commands that install what is missing, one a line, for the package manager that this system has.
install_commands() {
  local more=${tests:+ systemd zsh fish bash-completion} cron=cronie ovmf=edk2-ovmf nbd=
  local prometheus='prometheus prometheus-node-exporter' ssh='openssh-server openssh-clients'
  ! command -v apt-get >/dev/null || ssh='openssh-server openssh-client'
  ! command -v pacman >/dev/null || ssh=openssh
  ! command -v apt-get >/dev/null || { cron=cron && ovmf=ovmf && nbd=' libnbd-bin'; }
  ! command -v zypper >/dev/null || ovmf=qemu-ovmf-x86_64
  ! command -v zypper >/dev/null || prometheus='golang-github-prometheus-prometheus golang-github-prometheus-node_exporter'
  ! command -v dnf >/dev/null || prometheus='golang-github-prometheus golang-github-prometheus-node-exporter'
  more+=${tests:+ $cron $ovmf $prometheus $ssh$nbd}
  if command -v apt-get >/dev/null; then
    printf '%s\n' 'apt-get update' \
      'apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 libvirt-daemon-system'`
      `' libvirt-daemon-driver-qemu libvirt-clients qemu-utils qemu-system-x86 iproute2'"$more"
  elif command -v dnf >/dev/null; then
    printf '%s\n' 'dnf install -y --setopt=install_weak_deps=False libvirt-daemon libvirt-daemon-log'`
      `' libvirt-daemon-driver-qemu libvirt-daemon-driver-storage-core libvirt-client'`
      `' qemu-img qemu-system-x86-core iproute'"$more"
  elif command -v zypper >/dev/null; then
    printf '%s\n' 'zypper --non-interactive install --no-recommends libvirt-daemon libvirt-daemon-log'`
      `' libvirt-daemon-driver-qemu libvirt-daemon-driver-storage libvirt-client qemu-tools qemu-x86 iproute2'"$more"
  elif command -v pacman >/dev/null; then
    printf '%s\n' 'pacman -Sy --noconfirm --needed libvirt qemu-base iproute2'"$more"
  fi
}

require_tools() {
  local missing steps step log
  missing=$(missing_tools)
  [ -n "$missing" ] || return 0
  steps=$(install_commands)
  [ -n "$steps" ] || die 9 "missing:$missing" 'install libvirt with its QEMU driver, virsh, qemu-img, QEMU'
  [ "$EUID" = 0 ] || die 9 "missing:$missing" "install with: sudo sh -c '${steps//$'\n'/; }'"
  log=$(mktemp)
  printf 'lab: installing what is missing:%s\n' "$missing" >&2
  while read -r step; do
    # shellcheck disable=SC2086 # a line of words
    DEBIAN_FRONTEND=noninteractive online $step </dev/null >>"$log" 2>&1 ||
      { tail -n 30 "$log" >&2; rm -f "$log"; die 9 "this failed: $step"; }
  done <<<"$steps"
  rm -f "$log"
  hash -r
  missing=$(missing_tools)
  [ -z "$missing" ] || die 9 "still missing after the installation:$missing"
}

# ---- what both kinds of lab share -----------------------------------------------------------------------

# What points virsh at another daemon, or makes it talk, is not for the lab.
forget_host_settings() {
  local name
  for name in "${!LIBVIRT_@}" "${!VIRSH_@}" "${!DBUS_@}" "${!LISTEN_@}"; do unset "$name"; done
}

# Probing QEMU takes seconds, so the answers are kept. A lab works on a copy: several may read and write them.
# Where there is KVM, libvirtd takes them only when it starts on the processor with the same number (its CPUID has it): so it
# starts on the first of those that it may use, and then has all of them.
take_cache() { # KEPT LIVE
  mkdir -p "$2"
  mkdir -p -- "$1" 2>/dev/null && cp -- "$1"/*.xml "$2/" 2>/dev/null || :
}
keep_cache() { # KEPT LIVE
  local file new
  [ -w "$1" ] || return 0
  for file in "$2"/*.xml; do
    [ -e "$file" ] || continue
    cmp -s -- "$file" "$1/${file##*/}" && continue
    new=$(mktemp "$1/.new.XXXXXX") || return 0
    cp -- "$file" "$new" && mv -f -- "$new" "$1/${file##*/}" || rm -f "$new"
  done
}

write_qemu_conf() { # DIRECTORY LINE...
  local directory=$1
  shift
  printf '%s\n' 'dynamic_ownership = 0' 'security_driver = "none"' 'cgroup_controllers = [ ]' \
    'namespaces = [ ]' "$@" >"$directory/qemu.conf"
}

start_daemon() { # NAME LOG [WRAPPER...]
  # its messages are in the language of its own environment
  LC_ALL=C.UTF-8 LANGUAGE='' PATH=$daemon_path "${@:3}" "$1" -d </dev/null >"$2" 2>&1 ||
    { cat -- "$2" >&2; die 125 "$1 did not start"; }
}

wait_for_libvirtd() { # URI PID_FILE LOG...
  local uri=$1 pid_file=$2 deadline=$((SECONDS + 30))
  shift 2
  until virsh -c "$uri" version </dev/null >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      virsh -c "$uri" version </dev/null >&2 || :
      tail -n 20 -- "$@" >&2 2>/dev/null || :
      die 125 'libvirtd does not answer'
    fi
    sleep 0.02
  done
  # a thread of it may end at this moment
  until taskset -a -p -c "$cpus" "$(cat "$pid_file")" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || die 125 'taskset cannot give libvirtd its processors'
    sleep 0.02
  done
}

# Runs COMMAND; meanwhile its PID is in $child, afterwards its exit code in $code. Traps may run all the time.
# Not with `wait`: when a signal and the end of a child come together, bash can lose the exit code, and wait
# for ever. So another shell waits, in which signals change nothing, and tells both numbers through a pipe.
supervise() { # COMMAND...
  local status
  code=137 # unless the other shell lives to tell
  exec 195<&0 196>&1
  exec 197< <(
    exec 194<&- 198>&- 199>&-
    trap : HUP INT TERM USR1
    # shellcheck disable=SC2016 # expands there
    bash --norc -c 'echo "$$"; exec env --default-signal=INT,QUIT -- "$@" <&195 >&196 195<&- 196>&-' \
      bash "$@" || status=$?
    echo "${status:-0}"
  )
  read_through_signals child
  [ ! -e /proc/self/fd/199 ] || echo "$child" >&199
  read_through_signals code
  [ ! -e /proc/self/fd/199 ] || echo >&199
}

read_through_signals() { # NAME
  local status=129
  while [ "$status" -gt 128 ]; do read -r -u 197 "$1" && status=0 || status=$?; done
}

# ---- the system with another libvirt --------------------------------------------------------------------

# Makes SYSTEM the root directory of this mount namespace, for ever untouched under a layer of memory, and goes on there.
change_root() { # BASE SYSTEM ARGUMENT...
  local root=$1/root system=$2 bound
  mkdir "$1/layers" "$root"
  mount -n -t tmpfs tmpfs "$1/layers"
  mkdir "$1/layers"/{upper,work}
  mount -n -t overlay -o "lowerdir=$system/root,upperdir=$1/layers/upper,workdir=$1/layers/work" overlay "$root"
  mount -n -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -n -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  for bound in /dev /sys /proc "$system/capabilities" "$repository" "$PWD"; do
    # of a working directory that every system has, it has its own
    [ "$bound" != "$PWD" ] || [ ! -e "$root/$bound" ] || continue
    mkdir -p -- "$root/$bound"
    mount -n --rbind -- "$bound" "$root/$bound"
  done
  # with its own name in it, by which the janitor finds the lab's loop devices; not what is mounted below it
  mkdir -p "$root/${1%/*}"
  mount -n --bind "${1%/*}" "$root/${1%/*}"
  bring_node "$root"
  mkdir "$root/.old"
  pivot_root "$root" "$root/.old"
  cd -- "$PWD"
  # what holds the old root is this shell, and it ends here
  exec bash "$self" --inside-new-root "$1" "$system/capabilities" "${@:3}"
}

# Node.js as this machine has it, with npm: on the search path in there as out here.
bring_node() { # ROOT
  local node prefix file
  node=$(type -P node) || return 0
  node=$(readlink -f -- "$node")
  prefix=${node%/bin/node}
  mkdir -p -- "$1/${node%/*}"
  : >"$1/$node"
  mount -n --bind -- "$node" "$1/$node"
  [ -d "$prefix/lib/node_modules" ] || return 0
  mkdir -p -- "$1/$prefix/lib/node_modules"
  mount -n --rbind -- "$prefix/lib/node_modules" "$1/$prefix/lib/node_modules"
  for file in npm npx; do [ ! -L "$prefix/bin/$file" ] || cp -P -- "$prefix/bin/$file" "$1/$prefix/bin/"; done
}

# ---- the lab of root: runs as init of a PID namespace ---------------------------------------------------

loopback_up() { PATH=$daemon_path ip link set lo up; }

hand_down() { # SIGNAL
  [ -n "$child" ] || exit 125
  kill -s "$1" "$child" 2>/dev/null || :
}

inside() { # BASE CACHE COMMAND...
  local base=$1 kept=$2 private=$1/private init source target child='' code
  shift 2
  # a signal from without; init gets only those that it has a handler for
  trap 'hand_down TERM' TERM
  trap 'hand_down HUP' HUP
  # from a terminal, which sends it to COMMAND too; enter.sh sends USR1 when it means SIGINT
  trap : INT
  trap 'hand_down INT' USR1
  # Seen through the host's /proc, still mounted, this is the number that the host knows us by.
  read -r init _ </proc/self/stat
  echo "$init" >"$base/init"
  mount -n -t proc proc /proc

  mkdir -p "$private"/{etc,lib,log,cache,run}
  take_cache "$kept" "$private/cache/qemu/capabilities"
  write_qemu_conf "$private/etc" 'user = "root"' 'group = "root"'
  printf '%s\n' 'auth_unix_ro = "none"' 'auth_unix_rw = "none"' 'unix_sock_group = "libvirt"' \
    'unix_sock_ro_perms = "0777"' 'unix_sock_rw_perms = "0770"' >"$private/etc/libvirtd.conf"
  for target in /etc /var/lib /var/log /var/cache; do
    source=$private/${target##*/}
    mkdir -p "$target/libvirt"
    mount -n --bind "$source" "$target/libvirt"
  done
  if ! getent group libvirt >/dev/null; then
    { cat /etc/group; echo 'libvirt:x:64100:'; } >"$private/group"
    mount -n --bind "$private/group" /etc/group
  fi
  # /run goes, but what lies there and is needed (a repository on a removable disk, say) stays
  mount -n --bind /run "$private/run"
  mount -n -t tmpfs -o mode=755 tmpfs /run
  mkdir -p -m 1777 /run/lock
  for source in "$repository" "$PWD" "$(readlink -f -- "$(type -P node || echo /)")"; do
    case $source in /run/*/*) ;; *) continue ;; esac
    target=${source#/run/}
    target=${target%%/*}
    [ ! -e "/run/$target" ] || continue
    mkdir "/run/$target"
    mount -n --rbind "$private/run/$target" "/run/$target"
  done
  umount -n -l "$private/run"
  : >"$host_network"
  # as it is named there, for the path that it stands for may be one of another mount namespace
  mount -n --no-canonicalize --bind /proc/self/fd/193 "$host_network"
  exec 193<&-

  forget_host_settings
  unset XDG_RUNTIME_DIR
  start_daemon virtlogd "$private/virtlogd.out"
  start_daemon libvirtd "$private/libvirtd.out" taskset -c "${cpus%%[,-]*}"
  wait_for_libvirtd qemu:///system /run/libvirtd.pid "$private/libvirtd.out" /var/log/libvirt/libvirtd.log

  export KVMSNAP_LAB=$base/vm
  supervise "$@"
  keep_cache "$kept" "$private/cache/qemu/capabilities"
  exit "$code"
}

# ---- the lab of any other user --------------------------------------------------------------------------

enter_session() { # BASE CACHE
  local base=$1 private=$1/private kind
  forget_host_settings
  mkdir -p "$private"
  # short, because the path of a socket may have 107 bytes
  for kind in r:RUNTIME_DIR c:CONFIG_HOME d:DATA_HOME s:STATE_HOME k:CACHE_HOME; do
    mkdir -m 700 "$base/${kind%%:*}"
    export "XDG_${kind#*:}=$base/${kind%%:*}"
  done
  # or virsh would start a libvirtd that a test has ended
  export LIBVIRT_AUTOSTART=0
  if [ ! -w "${HOME:-/nonexistent}" ]; then export HOME=$private/home && mkdir "$HOME"; fi
  take_cache "$2" "$base/k/libvirt/qemu/cache/capabilities"
  mkdir "$base/c/libvirt"
  write_qemu_conf "$base/c/libvirt" 'stdio_handler = "file"'
  start_daemon libvirtd "$private/libvirtd.out" taskset -c "${cpus%%[,-]*}"
  wait_for_libvirtd qemu:///session "$base/r/libvirt/libvirtd.pid" "$private/libvirtd.out" "$base/k/libvirt/libvirtd.log"
}

# ---- the janitor: outside of the lab, in a session of its own, so that it outlives a SIGKILL of enter.sh ---

janitor() { # KIND BASE
  local kind=$1 base=$2 child='' init state pids file turn
  trap '' HUP INT TERM
  # ends when the last holder of the other end is gone, and that is enter.sh alone
  while read -r pids; do child=$pids; done
  [ -z "$child" ] || kill -s KILL "$child" || :
  if [ "$kind" = system ]; then
    # with unshare dies the lab's init, and with that the kernel kills all others
    init=$(cat "$base/init" 2>/dev/null || :)
    for ((turn = 0; turn < 500; turn++)); do
      # a zombie will do: init becomes one only after all others
      [ -n "$init" ] && read -r _ _ state _ 2>/dev/null <"/proc/$init/stat" && [ "$state" != Z ] || break
      sleep 0.02
    done
    # loop devices are no part of any namespace
    for file in /sys/block/loop*/loop/backing_file; do
      [ -e "$file" ] || continue
      case $(cat "$file") in
        */"${base##*/}"/*) file=${file#/sys/block/} && PATH=$daemon_path losetup -d "/dev/${file%%/*}" || : ;;
      esac
    done
  else
    # every process of the lab, libvirtd and QEMU too, has one of its directories in its environment
    for ((turn = 0; turn < 100; turn++)); do
      pids=$(grep -slaF -- "=$base/" /proc/[0-9]*/environ | cut -d/ -f3) || :
      [ -n "$pids" ] || break
      # shellcheck disable=SC2086 # a list of numbers
      kill -s KILL $pids || :
      sleep 0.02
    done
  fi
  for turn in 1 2 3 4 5; do rm -rf --one-file-system -- "$base" && break || sleep 0.1; done
}

# Directories of labs whose janitor was killed as well: nobody holds their lock.
sweep() { # PARENT
  local old
  for old in $(find "$1" -maxdepth 1 -name 'kvmsnap.??????' -type d -user "$EUID" -mmin +10); do
    [ ! -e "$old/lock" ] || flock -n "$old/lock" rm -rf --one-file-system -- "$old" || :
  done
}

# ---- main -----------------------------------------------------------------------------------------------

# A terminal's Ctrl-C has reached COMMAND already; all else is passed on.
pass_on() { # SIGNAL
  if [ "$1" = INT ] && [ -n "$terminal" ]; then :
  elif [ -z "$child" ]; then exit 125
  elif [ "$kind" = session ]; then kill -s "$1" "$child" 2>/dev/null || :
  elif [ -s "$base/init" ]; then kill -s "${1/INT/USR1}" "$(cat "$base/init")" 2>/dev/null || :
  else exit 125; fi
}

leave_root() { # COMMAND...
  local uid gid kept=/var/cache/kvmsnap-lab/user
  uid=${SUDO_UID:-$(id -u nobody)}
  gid=$(id -g "$(getent passwd "$uid" | cut -d: -f1)")
  mkdir -p "$kept/$uid" && chown "$uid:$gid" "$kept/$uid"
  exec setpriv --reuid "$uid" --regid "$gid" --clear-groups \
    env -u KVMSNAP_LAB -u KVMSNAP_LAB_CACHE -u XDG_RUNTIME_DIR \
    "HOME=$(getent passwd "$uid" | cut -d: -f6)" "XDG_CACHE_HOME=$kept/$uid" bash "$self" --user "$@"
}

main() {
  local fd parent cache system step
  # a closed stdin, stdout or stderr would be taken by the next file that is opened
  for fd in 0 1 2; do [ -e "/proc/self/fd/$fd" ] || eval "exec $fd<>/dev/null"; done

  kind=system
  system=
  [ "$EUID" = 0 ] || kind=session
  cache=${HOME:-/nonexistent}/.cache
  [ "$EUID" != 0 ] || cache=/var/cache
  cache=${KVMSNAP_LAB_CACHE:-${XDG_CACHE_HOME:-$cache}/kvmsnap-lab}
  tests=
  while :; do
    case ${1-} in
      --user) shift && kind=session ;;
      --tests) shift && tests=yes ;;
      --libvirt)
        system=$(online "${self%/*}/debian.sh" "${2-}" "$cache")
        shift 2
        ;;
      *) break ;;
    esac
  done
  [ -z "$system" ] || [ "$kind$tests" = system ] || die 2 '--libvirt goes with no other option'
  case ${1-} in
    '' | -h | --help) sed -n '2,/^set -/s/^# \{0,1\}//p' "$self" >&2; [ "${1-}" != '' ] && exit 0 || exit 2 ;;
    -*) die 2 "unknown option $1" ;;
  esac
  [ -n "$system" ] || require_tools
  if [ "$EUID" = 0 ] && [ "$kind" = session ]; then leave_root "$@"; fi
  if [ "$kind" = system ] && ! unshare --mount --pid --net --fork true; then
    die 125 'root can make no namespaces here (a container or chroot?): try with --user'
  fi

  # not /tmp, which may be memory; a lab in a lab goes with it
  parent=/var/tmp
  if [ -n "${KVMSNAP_LAB-}" ] && [ -w "${KVMSNAP_LAB%/*}" ]; then parent=${KVMSNAP_LAB%/*}; fi
  sweep "$parent"
  base=$(mktemp -d "$parent/kvmsnap.XXXXXX")
  chmod 755 "$base"
  exec 198>"$base/lock"
  flock 198
  exec 199> >(exec setsid bash "$self" --janitor "$kind" "$base" >/dev/null 2>&1)
  janitor=$!
  trap 'exec 199>&-; wait "$janitor" || :' EXIT
  mkdir "$base/vm"
  if [ -n "$system" ]; then
    cache=$system/capabilities
    exec 194<"$system.lock"
    flock -s 194
  fi
  export KVMSNAP_LAB_CACHE=$cache # for a lab in this one

  child=
  terminal=
  if { : </dev/tty; } 2>/dev/null; then terminal=yes; fi
  trap 'pass_on TERM' TERM
  trap 'pass_on HUP' HUP
  trap 'pass_on INT' INT
  if [ "$kind" = session ]; then
    enter_session "$base" "$cache" 198>&- 199>&-
    export KVMSNAP_LAB=$base/vm
    supervise "$@"
    keep_cache "$cache" "$base/k/libvirt/qemu/cache/capabilities"
  else
    if [ -e "$host_network" ]; then exec 193<"$host_network"; else exec 193</proc/self/ns/net; fi
    step=(--inside "$base" "$cache")
    [ -z "$system" ] || step=(--change-root "$base" "$system")
    supervise unshare --mount --pid --net --fork --kill-child --propagation private bash "$self" "${step[@]}" "$@"
  fi
  exit "$code"
}

case ${1-} in
  --inside) shift && loopback_up && inside "$@" ;;
  --change-root) shift && loopback_up && change_root "$@" ;;
  --inside-new-root) shift && umount -n -l /.old && rmdir /.old && inside "$@" ;;
  --janitor) shift && janitor "$@" ;;
  *) main "$@" ;;
esac
