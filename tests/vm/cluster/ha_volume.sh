# gate: trixie-udev trixie-noudev
# The story of a node that dies, as `ha_volume` tells it.
. /opt/vm/volume_words.sh
nodes_have_replicas
allow "$HOST3" 1 2
ha_volume ${MIB}M "$(uri 1)" "$(uri 2)" >"$OUT/story" 2>&1 & STORY=$!
tells() { grep -q "$1" "$OUT/story" || ! kill -0 $STORY; }
await 60 tells "take the power"
power_cut 2
await 60 tells "^ *[0-9.]* s  degraded"
returns 2
wait $STORY
is "the story ends well" "$?" 0
while IFS= read -r line; do note "$line"; done <"$OUT/story"
runs "a write was acknowledged all the time" grep -q "none failed, all are there" "$OUT/story"
is "no device is left" "$(dmsetup ls | grep volume-)" ""
is "no connection is left" "$(ls /sys/class/nvme)" ""
