# The VM itself: what the other scenarios rely on, with the real tools alone.
. /opt/vm/lib.sh
note "kernel $(uname -r), $(lvm version | head -1), $UDEV"
# The emulated processor's own counter is measured at each start, and on a busy host wrongly.
is "the clock is one that is right on any host" "$(</sys/devices/system/clocksource/clocksource0/current_clocksource)" hpet
runs "the tools make a VG" vgcreate -q vg0 /dev/vda /dev/vdb
runs "the tools make an LV" lvcreate -q -y -Wn -n lv0 -L 16m vg0
runs "its node is there" test -b /dev/vg0/lv0
is "reports are in bytes" "$(field lvs lv_size vg0/lv0)" 16777216
rep vgs
that "JSON reports become rows" "d[0]['vg_name'] == 'vg0' and int(d[0]['pv_count']) == 2" "$R"
lvm_ok "the VG is sound" vg0
fill /dev/vg0/lv0 seed 8
before=$(sum /dev/vg0/lv0 8)
quiet vgchange -an vg0
quiet vgchange -ay vg0
is "data is read back" "$(sum /dev/vg0/lv0 8)" "$before"
same_face "a face is the same twice" "$(face vg0 lv0)" "$(face vg0 lv0)"
ask mark "/dev/vdc /dev/vdd"
dd if=/dev/urandom of=/dev/vdd bs=512 count=1 conv=notrunc status=none
ask written "/dev/vdc /dev/vdd"
is "a written sector is seen" "${REPLY/*sectors of/}" " /dev/vdd were written"
ask leaks
is "nothing is left over" "$REPLY" ""
dmsetup suspend vg0-lv0
ask leaks
is "a suspended device is seen" "$REPLY" "vg0-lv0 is suspended"
dmsetup resume vg0-lv0
python3 /opt/vm/stamp.py write /dev/vg0/lv0 64 "$W/seq" 100
stamps_held "stamped writes are recognised" /dev/vg0/lv0 64 "$W/seq"
dd if=/dev/zero of=/dev/vg0/lv0 bs=4096 count=1 seek=5 oflag=direct status=none
ask stamps check /dev/vg0/lv0 64 "$W/seq"
is "a lost write is seen" "$REPLY" "block 5 is not write 69 of 100"
said=$(lvm_ok "a VG" missing 5>/dev/null)
is "what the tools object to is seen" "${said%%: *}" "not ok a VG"
quiet mkfs.ext4 -q /dev/vg0/lv0
quiet mount /dev/vg0/lv0 /mnt
ask mark /dev/vdc
ask written /dev/vdc
is "a file system that may write is told" "$REPLY" "/dev/mapper/vg0-lv0 writes when it likes: nothing can be watched"
quiet umount /mnt
runs "the tools remove all" vgremove -q -ff -y vg0
ask leaks
is "nothing is left over at the end" "$REPLY" ""
