# gate: bookworm-noudev trixie-noudev
# VGs that must not be changed: listed all the same, every change refused with its typed error, and nothing is written.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
changes() { # WHAT KIND/ERRNO
    bad "$1: replica create" "$2" replica create p "$B" 4M
    bad "$1: create-many" "$2" replica create-many p 2 4M
    bad "$1: resize" "$2" replica resize "$A" 32M
    bad "$1: set" "$2" replica set "$A" --name other
    bad "$1: export" "$2" pool export p
    bad "$1: grow" "$2" pool grow p
    bad "$1: pool destroy" "$2" pool destroy p
}
# What is allowed while a disk is missing alone.
repairs() { # WHAT KIND/ERRNO
    bad "$1: replica destroy" "$2" replica destroy "$A"
    bad "$1: add-disk" "$2" pool add-disk p /dev/vdd
}
listed() { # WHAT DISKS
    good "$1: the pool is listed" pool list
    that "$1: with what it holds" "[(pool['name'], pool['committed']) for pool in d] == [('p', 16 << 20)] and d[0]['reasons']"
    good "$1: its replica is listed" replica list p
    that "$1: with its size" "[(r['uuid'], r['size']) for r in d] == [('$A', 16 << 20)]"
}
# Rewrites the VG's text by a sed program, as another host would have left it.
edit() {
    quiet vgcfgbackup -q -f "$W/text" p
    sed -i "$1" "$W/text"
    quiet vgcfgrestore -q -y -f "$W/text" p
}
good "a pool" pool create p /dev/vda /dev/vdb
good "a replica" replica create p "$A" 16M

quiet vgchange -q -an p
quiet vgexport -q p
listed "exported"
changes "exported" Exported/EBUSY
repairs "exported" Exported/EBUSY
bad "exported: import" Exported/EBUSY pool import p /dev/vda /dev/vdb
bad "exported: create" Exported/EBUSY pool create p /dev/vda /dev/vdb
bad "exported: activate" Exported/EBUSY replica activate "$A"
quiet vgimport -q p
good "imported: it can be changed again" replica resize "$A" 20M
good "back to its size" replica resize "$A" 16M --allow-shrink
quiet vgchange -q -an p

other='global/system_id_source="lvmlocal" local/system_id="another-host"'
quiet vgchange -q -y --systemid another-host p
listed "foreign"
changes "foreign" Foreign/EPERM
repairs "foreign" Foreign/EPERM
bad "foreign: import" Foreign/EPERM pool import p /dev/vda /dev/vdb
bad "foreign: activate" Foreign/EPERM replica activate "$A"
that "foreign: the owner is named" "'another-host' in d['error']['message']"
quiet vgchange -q -y --config "$other" --systemid "" p

# No lvmlockd runs here, so the text is written by hand: LVM's own lock type for shared VGs.
quiet vgcfgbackup -q -f "$W/private" p
sed 's/^\tseqno = \([0-9]*\)$/\tseqno = \1\n\tlock_type = "sanlock"\n\tlock_args = "1.0.0:lvmlock"/' "$W/private" >"$W/shared"
for disk in vda vdb; do dd if=/dev/$disk of="$W/$disk.head" bs=1M count=1 iflag=direct status=none; done
quiet vgcfgrestore -q -y -f "$W/shared" p
listed "shared"
changes "shared" Shared/EBUSY
repairs "shared" Shared/EBUSY
bad "shared: import" Shared/EBUSY pool import p /dev/vda /dev/vdb
bad "shared: activate" Shared/EBUSY replica activate "$A"
# Without lvmlockd the newer tools let no shared VG go: what was on the disks before is put back.
for disk in vda vdb; do dd if="$W/$disk.head" of=/dev/$disk bs=1M oflag=direct status=none; done
quiet vgchange -q -y --addtag back p
good "private: it can be changed again" replica resize "$A" 20M
good "private: back to its size" replica resize "$A" 16M --allow-shrink
quiet vgchange -q -an p

edit 's/status = \["RESIZEABLE", "READ", "WRITE"\]/status = ["RESIZEABLE", "READ"]/'
listed "read-only"
changes "read-only" ReadOnly/EROFS
repairs "read-only" ReadOnly/EROFS
edit 's/status = \["RESIZEABLE", "READ"\]/status = ["RESIZEABLE", "READ", "WRITE"]/'

# A PV that is away: LVM's filter hides it, from the tools and from us.
cp /etc/lvm/lvmlocal.conf "$W/lvmlocal.conf"
sed -i 's/global_filter = \[/global_filter = [ "r|^\/dev\/vdb$|",/' /etc/lvm/lvmlocal.conf
is "LVM misses a PV" "$(field vgs vg_missing_pv_count p)" 1
listed "missing a PV"
changes "missing a PV" MissingPv/EBUSY
good "missing a PV: a disk joins" pool add-disk p /dev/vdd
is "LVM sees it, and misses the other still" "$(field vgs pv_count,vg_missing_pv_count p | tr -s ' ')" "3 1"
bad "missing a PV: import" DisksMismatch/EINVAL pool import p /dev/vda /dev/vdb
bad "missing a PV: create" DisksMismatch/EINVAL pool create p /dev/vda
cp "$W/lvmlocal.conf" /etc/lvm/lvmlocal.conf
bad "one disk alone is scanned" MissingPv/EBUSY --device /dev/vda replica resize "$A" 32M
good "with the PV again it can be changed" replica resize "$A" 32M
is "LVM misses none then" "$(field vgs vg_missing_pv_count p)" 0
lvm_ok "LVM finds it sound after all" p
good "the pool goes" pool destroy p
