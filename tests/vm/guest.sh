# SPDX-License-Identifier: Apache-2.0
# What every guest's first process begins and ends with; /guest.sh in their initramfs (guests.py).
# shellcheck shell=sh
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t tmpfs tmpfs /tmp

# A kernel that looks for memory nobody knows of: what it finds goes to its log. It leaves out what is
# younger than five seconds.
look_for_leaks() {
  if [ -e /sys/kernel/debug/kmemleak ]; then
    sleep 6
    echo scan >/sys/kernel/debug/kmemleak
    cat /sys/kernel/debug/kmemleak >/dev/kmsg
  fi
}

end_guest() {
  echo "guest done"
  sync
  poweroff -f
}
