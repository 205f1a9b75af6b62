#!/bin/sh
# kubectl as far as the plugin needs it: it answers for the pods below $DIR and really execs into their containers. It
# reads no JSONPath: what a pod's query gives is in the files line and facts. The streams go through other processes,
# as those of kubectl go through the API server: they can be cut.
printf '%s\n' "$*" >>"$DIR/log"
while :; do
    case $1 in
        --context | --namespace | --kubeconfig | --cluster | --user | --as | --request-timeout) shift 2 ;;
        *) break ;;
    esac
done

if [ -e "$DIR/down" ]; then
    echo "Unable to connect to the server: EOF" >&2
    exit 1
fi

not_found() {
    echo "Error from server (NotFound): $1" >&2
    exit 1
}

# show FILE
show() {
    cat "$DIR/$1" 2>/dev/null || not_found "$1"
    exit 0
}

# list_pods SELECTOR: all without one.
list_pods() {
    for pod in "$DIR"/pods/*; do
        if [ -z "$1" ] || grep -qxF -e "$1" "$pod/selectors"; then
            cat "$pod/line"
        fi
    done
}

case $1,$2,$3 in
    get,node,*) printf amd64; exit ;;
    get,pod,*) show "pods/$3/facts" ;;
    get,pods,-l) list_pods "$4"; exit ;;
    get,pods,*) list_pods; exit ;;
    get,*/*,*) show "workloads/$2" ;;
    get,*) show "workloads/$2/$3" ;;
    exec,-i,*) pod=$DIR/pods/$3 ;;
    exec,*) pod=$DIR/pods/$2 ;;
    *) not_found "$1" ;;
esac
[ -d "$pod" ] || not_found "$pod"

while [ "$1" != -- ]; do shift; done
shift
is_dump=
case " $* " in
    *" --pid 0 "*) ;;
    *" dump "*) is_dump=1 && echo "begin ${pod##*/} $(date +%s%N)" >>"$DIR/dumps" ;;
esac
trap 'exit 0' USR1
streams=$(mktemp -d "$DIR/streams.XXXXXX")
mkfifo "$streams/out" "$streams/err"
exec 3<&0
held() {
    head -c 65536
    while [ -e "$DIR/hold" ]; do sleep 0.1; done
    exec cat
}
case "$* " in
    *" --store - "*)
        if [ -e "$DIR/spoil" ]; then
            # An empty member more: gzip finds nothing wrong.
            { cat "$streams/out" && printf '' | gzip; } &
        else
            held <"$streams/out" &
        fi
        ;;
    *) cat "$streams/out" & ;;
esac
out=$!
cat "$streams/err" >&2 &
err=$!
# shellcheck disable=SC2046
env --default-signal $(cat "$pod/exec") "$@" <&3 >"$streams/out" 2>"$streams/err" &
command=$!
echo "$out $err $command $$" >"$DIR/last.new"
mv "$DIR/last.new" "$DIR/last"
wait $command
code=$?
wait $out $err
if [ -n "$is_dump" ]; then
    echo "end ${pod##*/} $(date +%s%N)" >>"$DIR/dumps"
    [ ! -e "$pod/then" ] || (cd "$DIR/pods" && sh "$pod/then")
fi
exit $code
