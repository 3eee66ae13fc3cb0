# SPDX-License-Identifier: Apache-2.0
# sluicectl as its users meet it, on the boards of the guest. Every `check NAME` is one result; the
# runner looks for the names here, so each stands alone on its line.
E='-d 0000:00:04.0'
out=/tmp/out err=/tmp/err

# expect STATUS COMMAND...: runs it, keeps what it prints, fails the current check.
expect() {
  want=$1
  shift
  "$@" >$out 2>$err
  status=$?
  [ $status = "$want" ] || fail "'$*' exited with $status instead of $want: $(head -c 200 $err)"
  [ $status = 0 ] || head -n 1 $err | grep -q '^sluicectl: ' || fail "'$*' does not say who complains"
}
prints() { [ "$(cat $out)" = "$1" ] || fail "printed '$(cat $out)' instead of '$1'"; }
shows() { grep -qF -e "$1" $out || fail "'$1' is not in '$(cat $out)'"; }
lacks() { ! grep -qF -e "$1" $out || fail "'$1' is in '$(cat $out)'"; }
complains() { grep -qF -e "$1" $err || fail "'$1' is not in '$(cat $err)'"; }
# Waits until a process waits for an event, or is gone.
until_asleep() { until grep -q poll "/proc/$1/wchan" || [ ! -e "/proc/$1" ]; do sleep 0.1; done; }
fail() { [ -n "$why" ] || why=$1; }
check() { finish; name=$1 why=; }
finish() {
  [ -z "$name" ] && return
  if [ -z "$why" ]; then echo "ok $name"; else echo "not ok $name: $why"; fi
}

check sluicectl_lists_boards
expect 0 sluicectl list
shows '/dev/sluice0   0000:00:04.0   1234:11e8  plain'
expect 0 sluicectl list --json
shows '"name": "0000:00:04.0"'

check sluicectl_shows_a_board
expect 0 sluicectl -d /dev/sluice0 info
shows 'bus master   off'
shows 'window 0     registers, BAR 0, 1048576 bytes (0x100000), map, write'
expect 0 sluicectl info -d 0000:00:04.0 --json
shows '"bus_master": false'

check sluicectl_wants_a_choice_of_several_boards
expect 2 sluicectl info
complains 'choose one with -d'

check sluicectl_reads_the_id_both_ways
expect 0 sluicectl $E reg read 0
prints 0x010000ed
expect 0 sluicectl $E reg read 0 --mmap
prints 0x010000ed
expect 0 sluicectl $E r 0x0 --json
shows '"value": 16777453'

check sluicectl_writes_the_liveness_register_both_ways
expect 0 sluicectl $E reg write 4 0x12345678
expect 0 sluicectl $E reg read 0x4
prints 0xedcba987
expect 0 sluicectl $E --mmap w 04 0777
expect 0 sluicectl $E --mmap r 4
prints 0xfffffe00
expect 0 sluicectl $E w -- 4 10
expect 0 sluicectl $E r -- 4
prints 0xfffffff5

check sluicectl_changes_some_bits
expect 0 sluicectl $E w 0x80 0x1234 --width 64
expect 0 sluicectl $E w 0x80 0x0050 --mask 0x00f0 --width 64
expect 0 sluicectl $E r 0x80 --width 64
prints 0x0000000000001254
expect 0 sluicectl $E --mmap w 0x80 0 --mask 0x00f0 --width 64
expect 0 sluicectl $E r 0x80 --width 64
prints 0x0000000000001204
expect 2 sluicectl $E --board /edu.toml w STATUS.IRQ on --mask 1
complains 'a field is its own mask'

check sluicectl_polls
expect 0 sluicectl $E reg poll 0 0x010000ed
prints 0x010000ed
expect 0 sluicectl $E --board /edu.toml reg poll ID.MAGIC edu
expect 1 sluicectl $E reg poll 0 1 --timeout 50
complains 'not 1 within 50 ms: 0x010000ed'

check sluicectl_measures
expect 0 sluicectl $E bench
shows 'pread'
lacks 'device memory'

check sluicectl_computes_a_factorial
expect 0 sluicectl $E w 8 7
sleep 0.2
expect 0 sluicectl $E r 8
prints 0x000013b0

check sluicectl_dumps
expect 0 sluicectl $E reg dump 0 16
shows '0x00000000  010000ed'
expect 0 sluicectl -d 0000:00:07.0 --window 1 --width 8 reg write 3 0x7f
expect 0 sluicectl -d 0000:00:07.0 --window 1 --width 8 reg dump 2 4
shows '7f'
expect 0 sluicectl $E reg dump --json 0 4
shows '16777453'

check sluicectl_maps
expect 0 sluicectl $E map 0 4
prints '0x00000000  010000ed'
expect 0 sluicectl $E map 0x1000 8
shows '0x00001000'

check sluicectl_names_registers_and_fields
B="$E --board /edu.toml"
expect 0 sluicectl $B reg read ID
prints 'ID = 0x010000ed
  MAJOR [31:24] = 0x1
  MINOR [23:16] = 0x0
  MAGIC  [15:0] = 0xed edu'
expect 0 sluicectl $B reg read ID.MAGIC
prints '0xed edu'
expect 0 sluicectl $B reg write STATUS.IRQ on
expect 0 sluicectl $B reg read STATUS
shows 'IRQ  [7] = 0x1 on'
expect 0 sluicectl $B --mmap reg write STATUS.IRQ 0
expect 0 sluicectl $B --mmap reg read STATUS.IRQ
prints '0x0 off'
expect 0 sluicectl $B w LIVENESS 0xffffffff
expect 0 sluicectl $B r LIVENESS
prints 'LIVENESS = 0x00000000'
expect 0 sluicectl $B reg dump
shows 'ID = 0x010000ed'
shows 'DMA_COMMAND = 0x0000000000000000'
expect 0 sluicectl $B reg read ID --json
shows '"name": "edu"'

check sluicectl_keeps_to_the_description
expect 1 sluicectl $B reg write ID 1
complains 'ID is described as read-only'
expect 1 sluicectl $B reg read IRQ_ACK
complains 'IRQ_ACK is described as write-only'
expect 2 sluicectl $B reg read NOSUCH
complains 'no register NOSUCH'
expect 2 sluicectl $B reg read ID.NOSUCH
complains 'no field NOSUCH'
expect 1 sluicectl $B reg write STATUS.IRQ 2
complains 'largest is 0x1'
expect 1 sluicectl -d 0000:00:07.0 --board /edu.toml reg read ID
complains 'describes a board 1234:11e8'
expect 2 sluicectl $E reg read ID
complains 'no --board'

check sluicectl_waits_for_interrupts
expect 1 sluicectl $E irq wait --timeout 50
complains 'no interrupt within 50 ms'
sluicectl $E irq wait --timeout 5000 >/tmp/waited 2>&1 &
waiter=$!
until_asleep $waiter
expect 0 sluicectl $E w 0x60 1
wait $waiter || fail "the waiter failed: $(cat /tmp/waited)"
grep -q '^[0-9][0-9]*$' /tmp/waited || fail "the waiter printed $(cat /tmp/waited)"
expect 0 sluicectl $E w 0x64 1

check sluicectl_refuses_what_the_board_has_not
expect 1 sluicectl $E r 0x100000
complains 'window 0: offset 0x100000'
expect 1 sluicectl $E r 2
complains 'multiple of 4'
expect 1 sluicectl $E --window 5 r 0
complains 'window 5'
expect 1 sluicectl $E map 0 0x100001
complains 'past the end at 0x100000'
expect 1 sluicectl $E --mmap r 0x100000
complains '0x100000'
expect 1 sluicectl $E w 4 0x100000000
complains '0x100000000'
expect 1 sluicectl -d 99 info
complains '/dev/sluice99'
expect 1 sluicectl -d /dev/null info
complains '/dev/null: not a Sluice device'

check sluicectl_refuses_wrong_usage
expect 2 sluicectl
expect 2 sluicectl nonsense
expect 2 sluicectl $E --width 24 r 0
complains '24'
expect 2 sluicectl $E r 0x1g
complains '0x1g'
expect 2 sluicectl $E r 08
expect 2 sluicectl $E r -4
expect 2 sluicectl $E r 18446744073709551616
complains '64 bits'
expect 2 sluicectl $E r
expect 2 sluicectl $E w 4
expect 2 sluicectl $E r 0 0

check sluicectl_explains_missing_rights
chgrp sluice /dev/sluice[0-9]*
expect 1 guest_tests as 1000 1000 sluicectl $E info
complains 'group sluice'
expect 1 guest_tests as 1000 1000 sluicectl list
complains 'group sluice'
expect 0 guest_tests as 1000 900 sluicectl $E r 0
prints 0x010000ed

# The page's commands, in its order; how many interrupts there were and what the factorial register
# holds depends on what ran before.
documented() {
  command=$(echo "$1" | sed "s/sluicectl /sluicectl $E /g")
  eval "$command" >$out 2>&1
  masked=$(sed 's/, [0-9]* seen/, 0 seen/; s/^[1-9][0-9]*$/1/; s/\(edcba987\) [0-9a-f]\{8\}/\1 00000000/' $out)
  [ "$masked" = "$2" ] || fail "'$1' printed '$masked', the page says '$2'"
  n_documented=$((n_documented + 1))
}
check documented_commands_print_what_the_page_shows
n_documented=0
. /documented.sh
[ $n_documented -gt 15 ] || fail "only $n_documented commands found in the page"

check sluicectl_survives_a_board_that_goes
sluicectl $E irq wait --timeout 10000 >$out 2>$err &
waiter=$!
until_asleep $waiter
echo 0000:00:04.0 >/sys/bus/pci/drivers/sluice/unbind
wait $waiter
[ $? = 1 ] || fail "the waiter did not fail"
complains 'the board is gone'
echo 0000:00:04.0 >/sys/bus/pci/drivers_probe
expect 0 sluicectl $E r 0
prints 0x010000ed
finish
