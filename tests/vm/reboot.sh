# gate: bookworm-noudev trixie-udev
# boots: 3
# Pools and their data outlive the machine: it is reset, not shut down.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) HOST=nqn.2019-05.io.openebs:node-name:h
modprobe -a nvmet nvmet-tcp
mountpoint -q /sys/kernel/config || quiet mount -t configfs configfs /sys/kernel/config
case $BOOT in
1)
    good "a pool" pool create p /dev/vda /dev/vdb
    good "a replica" replica create p "$A" 16M --name vol-a
    good "a striped replica" replica create p "$B" 16M --layout striped:2
    good "a replica that is taken down" replica create p "$C" 8M
    good "it is taken down" replica deactivate "$C"
    fill "/dev/p/$A" a 16
    fill "/dev/p/$B" b 16
    good "one is shared" replica share "$B" --listen 127.0.0.1:8421 --allow-host $HOST
    ;;
2)
    good "the pool is listed" pool list
    that "it is the pool" "[pool['name'] for pool in d] == ['p'] and d[0]['committed'] == 40 << 20"
    good "its replicas are listed" replica list p
    that "none is active after a reset" "len(d) == 3 and not any(r['active'] for r in d)"
    that "nor served" "[r['share']['protocol'] for r in d].count('nvmf') == 1 and not any(r['share']['uri'] for r in d)"
    good "import activates them" pool import p /dev/vda /dev/vdb
    good "they are listed again" replica list p
    that "all are active" "all(r['active'] for r in d)"
    that "the shared one is served" "[r['share']['uri'] for r in d if r['share']['uri']] == ['nvmf://127.0.0.1:8421/nqn.2019-05.io.openebs:$B?uuid=$B']"
    is "to the host that may reach it" "$(ls "/sys/kernel/config/nvmet/subsystems/nqn.2019-05.io.openebs:$B/allowed_hosts")" $HOST
    quiet vgcreate -q seeds /dev/vdc
    quiet lvcreate -q -y -Wn -n a -L 16m seeds
    fill /dev/seeds/a a 16
    is "the data is as it was written" "$(sum "/dev/p/$A" 16)" "$(sum /dev/seeds/a 16)"
    fill /dev/seeds/a b 16
    is "the striped data is as it was written" "$(sum "/dev/p/$B" 16)" "$(sum /dev/seeds/a 16)"
    quiet vgremove -q -ff -y seeds
    good "a change in the second life" replica resize "$A" 32M
    sum "/dev/p/$A" 32 >"$W/sum"
    poolctl replica write "$C" 0 <"$W/sum"
    ;;
3)
    runs "LVM activates them in the third life" vgchange -q -ay p
    good "we see them active" replica list p
    that "all are active for us" "len(d) == 3 and all(r['active'] for r in d)"
    good "the change was durable" replica show "$A"
    that "it has the new size and the old name" "d['size'] == 32 << 20 and d['name'] == 'vol-a'"
    is "the data of the second life is there" "$(sum "/dev/p/$A" 32)" "$(poolctl replica read "$C" 0 64)"
    good "the shared one is served again after any change" replica set "$A" --entity-id e
    is "as before" "$(ls /sys/kernel/config/nvmet/subsystems)" "nqn.2019-05.io.openebs:$B"
    lvm_ok "LVM finds it sound" p
    good "the pool goes" pool destroy p
    ;;
esac
