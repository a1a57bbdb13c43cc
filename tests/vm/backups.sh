# gate: trixie-udev trixie-noudev
# The metadata's backup and archive are those that the tools keep, and vgcfgrestore restores from them.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
ARCHIVE=/etc/lvm/archive BACKUP=/etc/lvm/backup
# Without the header block: it tells of its writer.
body() { sed '1,/^creation_time = /d' "$1"; }
same_body() { is "$1" "$(body "$2")" "$(body "$3")"; }
newest() { find $ARCHIVE -name "$1_*.vg" | sort | tail -n 1; }

good "a pool" pool create p /dev/vda /dev/vdb /dev/vdc --extent-size 1M
runs "it has a backup" test -s $BACKUP/p
good "a linear replica" replica create p "$A" 16M --name "a:b" --entity-id e/1
good "a striped replica" replica create p "$B" 16M --layout striped:2
# LVs of the tools' making, of every kind that a text tells more of than of ours.
quiet lvcreate -q -y --type raid1 -m1 -n raid -L 8m p
quiet lvcreate -q -y --type mirror -m1 -n mirror -L 8m p
quiet lvcreate -q -y --type raid5 -i2 -n raid5 -L 8m p
quiet lvcreate -q -y --type thin-pool -n tp -L 16m p
quiet lvcreate -q -y -V 64m --thinpool tp -n thin p
quiet lvcreate -q -y -n origin -L 8m p
quiet lvcreate -q -y -s -n snap -L 4m p/origin
quiet lvcreate -q -y --type zero -n zero -L 4m p
quiet lvcreate -q -y --readahead none -n none -L 4m p
quiet vgcfgbackup -q -f "$W/before" p
good "a change" replica set "$A" --name other
quiet vgcfgbackup -q -f "$W/after" p
same_body "the backup is what vgcfgbackup writes" $BACKUP/p "$W/after"
same_body "the archive is what vgcfgbackup wrote before the change" "$(newest p)" "$W/before"
runs "the tools list the archive" grep -q "Created \*before\* executing 'set properties of replica $A'" <(vgcfgrestore -l p)
is "both are private" "$(stat -c %a $BACKUP/p "$(newest p)" | sort -u)" 600

archived=$(newest p)
runs "the tools go on with the archive" lvchange -q --addtag theirs "p/$A"
runs "under the next number" test "$(newest p)" \> "$archived"
archived=$(newest p)
good "and so do we" replica resize "$A" 20M
runs "under the number after that" test "$(newest p)" \> "$archived"
lvs --noheadings p -o lv_name | tr -d ' ' | grep -vx -e "$A" -e "$B" | while read -r lv; do lvremove -q -y "p/$lv" >/dev/null 2>&1; done
good "one is destroyed" replica destroy "$B"
quiet vgchange -q -an p
runs "vgcfgrestore takes our archive" vgcfgrestore -q -y -f "$(newest p)" p
good "what was destroyed is there again" replica show "$B"
lvm_ok "LVM finds the restored VG sound" p

quiet vgchange -q -ay p
mount -t tmpfs -o ro tmpfs $BACKUP
mount -t tmpfs -o ro tmpfs $ARCHIVE
good "a host whose configuration is read-only" replica resize "$A" 24M
umount $BACKUP $ARCHIVE
mv $ARCHIVE "$W/archive"
: >$ARCHIVE
good "an archive that cannot be kept stops nothing" replica resize "$A" 28M
rm $ARCHIVE
mv "$W/archive" $ARCHIVE
sed -i '1i backup { backup = 0 archive = 0 }' /etc/lvm/lvmlocal.conf
kept=$(cat $BACKUP/p; ls $ARCHIVE)
good "where nothing is to be kept" replica resize "$A" 32M
is "nothing is" "$(cat $BACKUP/p; ls $ARCHIVE)" "$kept"
sed -i 1d /etc/lvm/lvmlocal.conf
good "the pool goes" pool destroy p
fails "its backup goes with it" test -e $BACKUP/p
runs "its archive stays" test -s "$(newest p)"
