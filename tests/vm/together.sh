# gate: bookworm-noudev
# Several at once on one VG: nothing is lost.
. /opt/vm/lib.sh
# How long, in seconds; with udevd, where the suite takes longest, half of that.
LONG=120
[ "$UDEV" = noudev ] || LONG=60
good "a pool" pool create p /dev/vda /dev/vdb /dev/vdc
# Each change that was acknowledged is a line of $W/WHO: a sign and the LV.  Every second LV stays until 8 younger ones are there.
ours() { # WHO NUMBER
    local i=0 id
    while ((SECONDS < end)); do
        id=$(uuid $(($2 * 100000 + i)))
        poolctl replica create p "$id" 4M --zero none && echo "+ $id" >&4 || return 1
        poolctl replica resize "$id" 8M && echo "= $id" >&4 || return 1
        ((i % 2)) || id=$(uuid $(($2 * 100000 + i - 16)))
        if ((i % 2 || i >= 16)); then poolctl replica destroy "$id" && echo "- $id" >&4 || return 1; fi
        ((++i))
    done
} 4>"$W/$1"
theirs() { # WHO
    local i=0 lv
    while ((SECONDS < end)); do
        lv=lv$i
        lvcreate -q -y -Wn -n $lv -L 4m p && echo "+ $lv" >&4 && lvchange -q --addtag t p/$lv && echo "= $lv" >&4 || return 1
        ((i % 2)) || lv=lv$((i - 16))
        if ((i % 2 || i >= 16)); then lvremove -q -y p/$lv && echo "- $lv" >&4 || return 1; fi
        ((++i))
    done
} 4>"$W/$1"
readers() {
    while ((SECONDS < end)); do
        poolctl --json replica list p && poolctl --json pool show p && inspect --check /dev/vda /dev/vdb /dev/vdc || return 1
    done
}
seqno=$(field vgs vg_seqno p) end=$((SECONDS + LONG))
ours one 1 >"$OUT/one" 2>&1 & one=$!
ours two 2 >"$OUT/two" 2>&1 & two=$!
theirs theirs >"$OUT/theirs" 2>&1 & theirs=$!
readers >"$OUT/readers" 2>&1 & readers=$!
wait $one; is "the first poolctl loop had no error" $? 0
wait $two; is "the second poolctl loop had no error" $? 0
wait $theirs; is "the lvcreate loop had no error" $? 0
wait $readers; is "readers were never disturbed" $? 0
changes=$(cat "$W/one" "$W/two" "$W/theirs" | wc -l)
note "$changes changes in $LONG s: $(wc -l <"$W/one") and $(wc -l <"$W/two") by poolctl, $(wc -l <"$W/theirs") by the tools"
is "every change has its own sequence number" "$(field vgs vg_seqno p)" $((seqno + changes))
# What was made and not removed.
left() { awk '$1 == "+" { lvs[$2] } $1 == "-" { delete lvs[$2] } END { for (lv in lvs) print lv }' "$@" | sort; }
is "every LV that was made is there, and no other" "$(lvs --noheadings -o lv_name p | tr -d ' ' | sort)" "$(left "$W/one" "$W/two" "$W/theirs")"
is "every size is right" "$(lvs --noheadings -o lv_name,lv_size --units m --nosuffix p | awk '{ print $1, $2 }' | sort)" \
    "$({ left "$W/one" "$W/two" | sed 's/$/ 8.00/'; left "$W/theirs" | sed 's/$/ 4.00/'; } | sort)"
is "every tag is there" "$(lvs --noheadings -o lv_name -S 'lv_tags=t' p | tr -d ' ' | sort)" "$(left "$W/theirs")"
leaks
is "nothing is left over" "$REPLY" ""
is "all are active" "$(lvs --noheadings -o lv_name -S 'lv_active=active' p | wc -l)" "$(left "$W/one" "$W/two" "$W/theirs" | wc -l)"
rep pvs --segments -o pv_name,pvseg_start,pvseg_size,lv_name -S vg_name=p
that "no extent is used twice" "(lambda rows: all(a['pv_name'] != b['pv_name'] or int(a['pvseg_start']) + int(a['pvseg_size']) <= int(b['pvseg_start']) for a, b in zip(rows, rows[1:])))(sorted(d, key=lambda row: (row['pv_name'], int(row['pvseg_start']))))" "$R"
lvm_ok "LVM finds it sound" p
for lv in $(left "$W/theirs"); do quiet lvremove -q -y p/$lv; done

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
