# on.sh NODE SECONDS SCRIPT: has NODE's agent run a script, tells its results on fd 5, and its output and status as its own.
# Status 255: the agent does not answer.
{ exec 7<>"/dev/tcp/10.0.2.$1/4000"; } 2>/dev/null || { echo "node $1 does not answer"; exit 255; }
printf '%s %s\n%s' "$2" "${#3}" "$3" >&7 &&
    read -r status size <&7 || { echo "node $1 gives no answer"; exit 255; }
if [ "$size" -gt 0 ]; then
    IFS= read -r -N "$size" results <&7
    printf '%s' "$results" >&5
fi
cat <&7
exit "$status"
