# gate: bookworm-noudev trixie-udev trixie-noudev
# Data is read back unchanged after a resize, an export and import, activation by the other side, a move, and under I/O.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
good "a pool" pool create p /dev/vda /dev/vdb
good "a linear replica" replica create p "$A" 16M
good "a striped replica" replica create p "$B" 16M --layout striped:2
fill "/dev/p/$A" a 16; a=$(sum "/dev/p/$A" 16)
fill "/dev/p/$B" b 16; b=$(sum "/dev/p/$B" 16)
unchanged() { is "$1: linear" "$(sum "/dev/p/$A" 16)" "$a"; is "$1: striped" "$(sum "/dev/p/$B" 16)" "$b"; }
good "resize" replica resize "$A" 200M
good "resize of the striped one" replica resize "$B" 64M
unchanged "after our resize"
quiet lvextend -q -L 220m "p/$A"
unchanged "after their resize"
good "shrink" replica resize "$A" 16M --allow-shrink
unchanged "after our shrinking"
good "export" pool export p
quiet vgchange -q -ay p
unchanged "after export, activated by LVM"
quiet vgchange -q -an p
good "import" pool import p /dev/vda /dev/vdb
unchanged "after import"
poolctl replica read "$A" 0 16M >"$W/read"
runs "poolctl reads the same" cmp -n $((16 << 20)) "$W/read" "/dev/p/$A"
quiet vgchange -q -an p
good "activate" replica activate "$A"
good "activate the striped one" replica activate "$B"
unchanged "activated by us"
quiet vgchange -q -an p
quiet vgexport -q p
quiet vgimport -q p
quiet vgchange -q -ay p
unchanged "after vgexport and vgimport"
quiet vgextend -q p /dev/vdc
quiet pvmove -q -n "$A" /dev/vda /dev/vdc
unchanged "after pvmove"
good "resize after pvmove" replica resize "$A" 24M
unchanged "after a resize of what was moved"

# A file system is used through all of that.
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "/dev/p/$B" && mount "/dev/p/$B" /mnt
cp -r /usr/lib/python3.*/json /mnt/
files() { (cd /mnt && find json -type f | sort | xargs sha256sum | sha256sum); }
before=$(files)
good "resize under a mounted file system" replica resize "$B" 80M
runs "the file system grows" resize2fs "/dev/p/$B"
is "its files are unchanged" "$(files)" "$before"
umount /mnt
runs "fsck finds nothing" fsck.ext4 -fn "/dev/p/$B"
mount "/dev/p/$B" /mnt
is "its files are unchanged after a remount" "$(files)" "$before"
umount /mnt

# Resizes while a writer runs; each write is acknowledged exactly once.
for layout in linear striped:2; do
    U=$(uuid 0x1${#layout})
    good "$layout: a replica for the writer" replica create p "$U" 8M --layout $layout
    stamps "/dev/p/$U" 1024 "$W/seq-$layout"
    for size in 12 16 24 32 48; do good "$layout: resize to $size MiB under I/O" replica resize "$U" ${size}M; done
    quiet lvextend -q -L 64m "p/$U"
    good "$layout: shrink under I/O" replica resize "$U" 16M --allow-shrink
    stamps_end "$layout"
    stamps_held "$layout: every acknowledged write is there" "/dev/p/$U" 1024 "$W/seq-$layout"
    good "$layout: the replica goes" replica destroy "$U"
done
good "the pool goes" pool destroy p
