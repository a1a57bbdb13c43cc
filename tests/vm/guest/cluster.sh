# More words for scenarios of a cluster, which run on node 3.  Each begins with: . /opt/vm/lib.sh; . /opt/vm/cluster.sh
#
# Node N is 10.0.1.N on the network for data, and has the disks, programs and modules that node 3 has.
#
#   on N COMMAND                 runs a shell command on node 1 or 2, with its output and status (255: the node does not answer);
#                                it is killed after $LIMIT seconds (status 124), by default 60; a node that loses its power meanwhile
#                                gives no answer, and costs 10 seconds more.  It works while the link is cut.  With
#                                `. /opt/vm/lib.sh;` at its start it has the words of lib.sh: its checks count, in the node's name
#   cut_link N, mend_link N      the data link of a node is silently dead: packets vanish both ways, its carrier stays
#   power_off N                  node 1 or 2 loses its power: what no disk of it had acknowledged is gone
#   power_on N                   it boots with the same disks; the word does not wait
#   power_cut N                  both
#   await_node N                 until its agent answers; nothing but the agent runs then
on() {
    local node=$1 limit=${LIMIT:-60}; shift
    timeout "$((limit + 10))" bash /opt/vm/on.sh "$node" "$limit" "$*"
}

exec 6<>/dev/ttyS2
stty raw -echo <&6
host_does() { # WORD N
    local said
    printf '%s %s\n' "$1" "$2" >&6
    IFS= read -r -t 30 said <&6 || said="no answer"
    [ "$said" = "done" ] || { no "the host does $1 $2" "$said"; return 1; }
}
cut_link() { host_does cut "$1"; }
mend_link() { host_does mend "$1"; }
# Without its neighbour's address an order to a node that is gone fails within seconds.
power_off() { host_does off "$1" && ip neighbour flush to "10.0.2.$1" dev net2; }
power_on() { host_does on "$1"; }
power_cut() { power_off "$1" && power_on "$1"; }

await_node() { await 120 on "$1" true >/dev/null || no "node $1 is there" "its agent does not answer"; }
await_node 1
await_node 2
