# The first process of a node, in namespaces of its own for network, mounts and processes: when it ends, everything in
# it ends. Its settings come as variables: F (folder), HOST and INNER (the two ends of the cable), GATEWAY (the node),
# CGROUP (the name of its control group), API (the address of the API server inside).
set -eu

# What programs write to fixed places goes into the folder.
mount -t tmpfs tmpfs /run
mkdir -p "$F/log" "$F/cni-state" "$F/var-log" /run/lock /var/lib/cni
mount --bind "$F/var-log" /var/log
mount --bind "$F/cni-state" /var/lib/cni

# A control group of its own below each controller, or below the one tree of version 2.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p "/sys/fs/cgroup/$CGROUP"
else
  for controller in /sys/fs/cgroup/*/; do
    [ ! -f "$controller/cgroup.controllers" ] || continue
    mkdir -p "$controller/$CGROUP"
  done
  for setting in cpus mems; do
    cat "/sys/fs/cgroup/cpuset/cpuset.$setting" >"/sys/fs/cgroup/cpuset/$CGROUP/cpuset.$setting"
  done
fi

ip link set lo up
tries=0
until ip link show eth0 >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 200 ] || { echo "the cable was not plugged in" >&2; exit 1; }
  sleep 0.05
done
ip address add "$INNER/30" dev eth0
ip link set eth0 up
ip route add default via "$HOST"
ip link add cni0 type bridge
ip address add "$GATEWAY/24" dev cni0
ip link set cni0 up
echo 1 >/proc/sys/net/ipv4/ip_forward

start() {
  name=$1
  shift
  "$@" >>"$F/log/$name.log" 2>&1 &
}

# Begins again whenever it ends, unless a test holds it back.
keep() {
  name=$1
  shift
  while :; do
    [ -e "$F/hold-$name" ] || "$@" >>"$F/log/$name.log" 2>&1 || :
    sleep 0.1
  done &
}

. "$F/control-plane.sh"
start containerd containerd --config "$F/containerd.toml"

tries=0
until [ -S "$F/containerd.sock" ] && ctr --address "$F/containerd.sock" version >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 400 ] || { echo "containerd does not answer" >&2; exit 1; }
  sleep 0.05
done
ctr --address "$F/containerd.sock" --namespace k8s.io image import "$F/images.tar" >>"$F/log/images.log" 2>&1

tries=0
until curl --silent --fail --max-time 5 --cacert "$F/ca.crt" "$API/readyz" >/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -lt 1200 ] || { echo "the API server is not ready" >&2; exit 1; }
  sleep 0.05
done
. "$F/node-servers.sh"
wait
