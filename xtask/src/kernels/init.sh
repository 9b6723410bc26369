#!/bin/sh
# The first process of the guest: makes it a machine, runs the tests, says how they ended, and turns it off.
export PATH=/bin HOME=/ TMPDIR=/scratch
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs scratch /scratch
mount -t bpf bpf /sys/fs/bpf
. /settings.sh
for module in $MODULES; do
	insmod "/modules/$module.ko" || echo "the module $module was not loaded"
done
ip link set lo up
echo "hedgerow-guest: Linux $(cat /proc/sys/kernel/osrelease)"
/tests --show-output $FILTER
echo "hedgerow-guest: tests ended with $?"
# The serial line is slower than this: what the kernel says of its end must not come between.
sleep 1
echo o > /proc/sysrq-trigger
sleep 60
