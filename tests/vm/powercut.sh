# gate: trixie-noudev
# A loss of power at any moment leaves the old or the new VG, to us and to the tools: see powercut.py for what is lost.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
# All disks lie on one, so that the log tells the order of the writes to any of them; not at its start, where its own label
# would be one.
TARGET=/dev/vdc LOG=/dev/vdd
lay() { # DEVICE: the disks on it
    local number
    for number in 0 1 2; do
        dmsetup create "disk$number" --table "0 49152 linear $1 $((2048 + number * 49152))" || return 1
    done
}
X=/dev/mapper/disk0 Y=/dev/mapper/disk1 Z=/dev/mapper/disk2
WATCH="$X $Y $Z"
record() {
    quiet blkdiscard -f -z $TARGET
    quiet blkdiscard -f -z $LOG
    quiet dmsetup create log --table "0 $((2048 + 3 * 49152)) log-writes $TARGET $LOG"
    quiet lay /dev/mapper/log
}
# during NAME CMD...: the command with a mark before and after it.  The log takes in what a flush followed.
flush() { python3 -c 'import os, sys; [os.fsync(os.open(disk, os.O_RDONLY)) for disk in sys.argv[1:]]' $X $Y $Z; }
during() {
    local name=$1; shift
    flush
    quiet dmsetup message log 0 mark "begin:$name"
    quiet "$@"
    flush
    quiet dmsetup message log 0 mark "end:$name"
}
# replay WHOSE: tries all that was recorded; rows are in $W/WHOSE.
replay() {
    quiet vgchange -q -an
    quiet dmsetup remove disk0 disk1 disk2
    quiet dmsetup remove log
    quiet lay $TARGET
    python3 /opt/vm/powercut.py $LOG $TARGET $X $Y $Z >"$W/$1" 2>"$OUT/$1-neither" || no "the power cuts of $1" "$(tail -n 3 "$OUT/$1-neither")"
    quiet dmsetup remove disk0 disk1 disk2
    while read -r row; do note "$1: $row"; done <"$W/$1"
}
held() { # WHOSE COUNT: all rows are there, and no state of them was neither
    is "$1: every operation was cut" "$(wc -l <"$W/$1")" "$2"
    is "$1: each state is the old or the new VG" "$(grep -v '/0 [0-9]*/[0-9]*/0$' "$W/$1")" ""
    is "$1: each operation was seen before and after by both" "$(awk '{ split($5, o, "/"); split($6, t, "/"); if (!o[1] || !o[2] || !t[1] || !t[2]) print }' "$W/$1")" ""
}

record
during pool-create poolctl pool create p $X $Y
during replica-create poolctl replica create p $A 8M
during replica-set poolctl replica set $A --name other
during replica-resize poolctl replica resize $A 20M
during add-disk poolctl pool add-disk p $Z
during replica-destroy poolctl replica destroy $A
during remove-disk poolctl pool remove-disk p $Z
dd if=/dev/urandom of=$Y bs=512 seek=8 count=1 oflag=direct conv=notrunc status=none
during mend poolctl pool repair p
during export poolctl pool export p
replay ours
held ours 9

# As the tools make a PV with two areas.
record
quiet pvcreate -q -y --metadatacopies 2 $X
quiet vgcreate -q -y two $X
quiet poolctl pool import two $X
during replica-create poolctl replica create two $B 8M
during replica-destroy poolctl replica destroy $B
replay two-areas
held two-areas 2

# The tools themselves issue no flush: what is lost then is theirs to lose, and told for comparison.
record
quiet vgcreate -q -y p $X
during lvcreate lvcreate -q -y -Wn -n one -L 8M p
during lvchange lvchange -q --addtag tag p/one
during lvextend lvextend -q -L 12M p/one
during vgextend vgextend -q -y p $Y
during lvremove lvremove -q -y p/one
during vgreduce vgreduce -q p $Y
replay tools
is "tools: every operation was cut" "$(wc -l <"$W/tools")" 6
is "tools: a text that was lost is seen by this very check" "$(grep -c '^lvcreate .*/1 .*/1$' "$W/tools")" 1
