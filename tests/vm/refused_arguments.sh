# gate: bookworm-noudev trixie-noudev
# Bad arguments: each has its typed error, and nothing is written.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
long() { printf "%$1s" | tr ' ' x; }

for name in "" . .. "a b" a/b "a,b" 'a$b' "a@b" "tab	" "ümlaut" "$(long 128)"; do
    bad "pool name '${name:0:20}' (${#name})" InvalidName/EINVAL pool create "$name" /dev/vda
done
bad "a pool name that begins with a dash" InvalidName/EINVAL pool create -- -dash /dev/vda
bad "a pool name that leaves no room for device names" InvalidArgument/EINVAL pool create "$(long 100)" /dev/vda
good "a name of all legal characters" pool create 'Az09_.+-' /dev/vda
good "it goes" pool destroy 'Az09_.+-'
mkdir /dev/taken; touch /dev/taken/node
bad "a name that is a folder in /dev" InvalidArgument/EINVAL pool create taken /dev/vda
rm -r /dev/taken
for uuid in x 0c3e7a4e-7a3f-4a34-9c56-1f0d2f9be0 00000000-0000-0000-0000-000000000000 "$A$A"; do
    bad "pool uuid '${uuid:0:40}'" InvalidArgument/EINVAL pool create p /dev/vda --uuid "$uuid"
done
for size in 0 1 3 513 100K 4T 3000000 big -1 4X 1e6 99999999999999999999; do
    bad "extent size $size" InvalidArgument/EINVAL pool create p /dev/vda "--extent-size=$size"
done
for size in 0 1K 9T big; do pc pool create p /dev/vda "--metadata-size=$size"; [ $RC = 1 ] || no "metadata size $size is refused" "$(said)"; done
bad "metadata larger than the disk" DiskTooSmall/EINVAL pool create p /dev/vda --metadata-size 1G
bad "metadata of nothing" InvalidArgument/EINVAL pool create p /dev/vda --metadata-size 0
bad "extents larger than the disk" DiskTooSmall/EINVAL pool create p /dev/vda --extent-size 512M

for command in "pool show p" "pool grow p" "pool export p" "pool destroy p" "pool add-disk p /dev/vdb" "pool remove-disk p /dev/vda" \
    "pool import p /dev/vda" "replica create p $A 4M" "replica create-many p 2 4M" "replica list p"; do
    bad "an unknown pool: ${command% p*}" PoolNotFound/ENOENT $command
done
good "a pool" pool create p /dev/vda /dev/vdb
good "a replica" replica create p "$A" 8M --name first
for command in "show $B" "resize $B 8M" "destroy $B" "set $B --name x" "activate $B" "deactivate $B" "read $B 0 1" "stats $B"; do
    bad "an unknown replica: ${command%% *}" ReplicaNotFound/ENOENT replica $command
done
bad "an unknown replica: write" ReplicaNotFound/ENOENT replica write "$B" 0

for uuid in lvol0 pvmove0 snapshot1 x_rimage_0 0 "" "$A-" 00000000-0000-0000-0000-000000000000 '..' 'a b'; do
    bad "replica uuid '$uuid'" InvalidArgument/EINVAL replica create p "$uuid" 4M
done
for size in 0 big 4X 1.5M "" 0x10 99999999999999999999 16777216T; do
    bad "replica size '$size'" InvalidArgument/EINVAL replica create p "$B" "$size"
    bad "resize to '$size'" InvalidArgument/EINVAL replica resize "$A" "$size"
done
bad "a size beyond the space" NoSpace/ENOSPC replica create p "$B" 1G
that "the error tells how much is free" "re.search('[0-9.]+ [KMGT]iB free', d['error']['message'])"
bad "a size far beyond the space" NoSpace/ENOSPC replica create p "$B" 7000T
bad "a resize beyond the space" NoSpace/ENOSPC replica resize "$A" 1G
bad "many beyond the space" NoSpace/ENOSPC replica create-many p 1000 4M
for layout in striped:0 striped:3 striped:2:3K striped:2:1G; do
    pc replica create p "$B" 8M --layout $layout
    if [ $RC = 1 ]; then ok "layout $layout is refused"; else no "layout $layout is refused" "$(said)"; fi
done
bad "striped over no disk" InvalidArgument/EINVAL replica create p "$B" 8M --layout striped:0
bad "a layout of no kind" InvalidArgument/EINVAL replica create p "$B" 8M --layout spiral:2
bad "more images than disks" NoSpace/ENOSPC replica create p "$B" 8M --layout raid5:3
for tag in "a b" "a,b" 'a"b' 'a$b' "ä" "a
b" "a@b" "$(long 1025)"; do
    bad "replica name '${tag:0:10}'" InvalidName/EINVAL replica create p "$B" 4M --name "$tag"
    bad "entity id '${tag:0:10}'" InvalidName/EINVAL replica create p "$B" 4M --entity-id "$tag"
    bad "set name '${tag:0:10}'" InvalidName/EINVAL replica set "$A" --name "$tag"
done
bad "an empty replica name" InvalidArgument/EINVAL replica create p "$B" 4M --name ""
bad "an empty entity id" InvalidArgument/EINVAL replica set "$A" --entity-id ""
good "a name of all that LVM allows in tags" replica create p "$B" 4M --name 'Az09_+.-/=!:&#'
that "it is read back" "d['name'] == 'Az09_+.-/=!:&#'"
bad "the same UUID twice" AlreadyExists/EEXIST replica create p "$A" 8M --name other
bad "the same UUID in upper case" AlreadyExists/EEXIST replica create p "${A^^}" 8M --name other
bad "the same name twice" AlreadyExists/EEXIST replica create p "$(uuid 0xc)" 4M --name first
bad "a name that another has" AlreadyExists/EEXIST replica set "$B" --name first
good "a second pool" pool create q /dev/vdc
bad "the same UUID in another pool" AlreadyExists/EEXIST replica create q "$A" 4M
bad "the same pool UUID twice" AlreadyExists/EEXIST pool create r /dev/vdd --uuid "$(poolctl --json pool show p | sed 's/.*"uuid":"\([^"]*\)".*/\1/')"
bad "reading before the start" InvalidArgument/EINVAL replica read "$A" 8M 1
bad "reading beyond the end" InvalidArgument/EINVAL replica read "$A" 0 9M

usage "no command"
usage "an unknown command" pool polish p
usage "a missing argument" replica create p
usage "an unknown option" pool list --loud
usage "no such mapper" --mapper magic pool list
usage "a timeout that is no number" --timeout soon pool list
usage "no disks" pool create r
usage "zeroing of no kind" replica create p "$(uuid 0xd)" 4M --zero half
good "both pools are as they were" pool list
that "nothing was added" "[(pool['name'], pool['committed']) for pool in d] == [('p', 12 << 20), ('q', 0)]"
good "the first pool goes" pool destroy p
good "the second pool goes" pool destroy q
