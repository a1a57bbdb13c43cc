# on: bookworm-noudev trixie-udev
# Several at once on one VG: nothing is lost.
. /opt/vm/lib.sh
good "a pool" pool create p /dev/vda /dev/vdb /dev/vdc
ours() { # NUMBER: makes eight, grows them, and destroys every second one
    local i
    for i in {0..7}; do
        poolctl replica create p "$(uuid $(($1 * 16 + i)))" 4M --zero none &&
            poolctl replica resize "$(uuid $(($1 * 16 + i)))" 8M || return 1
        [ $((i % 2)) = 0 ] || poolctl replica destroy "$(uuid $(($1 * 16 + i)))" || return 1
    done
}
theirs() {
    local i
    for i in {0..7}; do
        lvcreate -q -y -Wn -n "lv$i" -L 4m p && lvchange -q --addtag "t$i" "p/lv$i" || return 1
        [ $((i % 2)) = 0 ] || lvremove -q -y "p/lv$i" || return 1
    done
}
readers() {
    local i
    for i in {1..12}; do poolctl --json replica list p && poolctl --json pool show p || return 1; done
}
seqno=$(field vgs vg_seqno p)
ours 1 >"$OUT/one" 2>&1 & one=$!
ours 2 >"$OUT/two" 2>&1 & two=$!
theirs >"$OUT/theirs" 2>&1 & theirs=$!
readers >"$OUT/readers" 2>&1 & readers=$!
wait $one; is "the first poolctl loop had no error" $? 0
wait $two; is "the second poolctl loop had no error" $? 0
wait $theirs; is "the lvcreate loop had no error" $? 0
wait $readers; is "readers were never disturbed" $? 0
want=$({ for n in 1 2; do for i in 0 2 4 6; do uuid $((n * 16 + i)); done; done; for i in 0 2 4 6; do echo lv$i; done; } | sort)
is "every LV that was made is there, and no other" "$(lvs --noheadings -o lv_name p | tr -d ' ' | sort)" "$want"
is "every size is right" "$(lvs --noheadings -o lv_size --units m --nosuffix p | tr -d ' ' | sort | uniq -c | tr -s ' ' | tr '\n' ';')" " 4 4.00; 8 8.00;"
is "every tag is there" "$(lvs --noheadings -o lv_tags p | tr -d ' ' | tr ',' '\n' | grep -c '^t[0246]$')" 4
is "every change has its own sequence number" "$(field vgs vg_seqno p)" $((seqno + 2 * (8 + 8 + 4) + 8 + 8 + 4))
leaks
is "nothing is left over" "$REPLY" ""
is "all are active" "$(lvs --noheadings -o lv_active p | sort | uniq -c | tr -s ' ')" " 12 active"
rep pvs --segments -o pv_name,pvseg_start,pvseg_size,lv_name -S vg_name=p
that "no extent is used twice" "(lambda rows: all(a['pv_name'] != b['pv_name'] or int(a['pvseg_start']) + int(a['pvseg_size']) <= int(b['pvseg_start']) for a, b in zip(rows, rows[1:])))(sorted(d, key=lambda row: (row['pv_name'], int(row['pvseg_start']))))" "$R"
lvm_ok "LVM finds it sound" p
quiet lvremove -q -y p/lv0 p/lv2 p/lv4 p/lv6

# Two that want the same thing: one of them gets it.
poolctl --json replica create p "$(uuid 0x99)" 4M >"$W/a" 2>&1 & a=$!
poolctl --json replica create p "$(uuid 0x99)" 4M >"$W/b" 2>&1 & b=$!
wait $a; a=$?
wait $b; b=$?
is "of two that create the same replica one succeeds" $((a + b)) 1
is "the other is told that it exists" "$(cat "$W/a" "$W/b" | grep -c '"AlreadyExists"')" 1
good "the pool goes" pool destroy p
poolctl --json pool create a /dev/vda >"$W/a" 2>&1 & a=$!
poolctl --json pool create b /dev/vda >"$W/b" 2>&1 & b=$!
wait $a; a=$?
wait $b; b=$?
is "of two that want the same disk one succeeds" $((a + b)) 1
is "the other is told that it is in use" "$(cat "$W/a" "$W/b" | grep -c '"DiskInUse"')" 1
good "one pool is there" pool list
that "it is the winner's" "len(d) == 1 and d[0]['name'] == ('a' if $a == 0 else 'b')"
good "the winner's pool goes" pool destroy "$(q "d[0]['name']")"
