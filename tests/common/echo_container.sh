#!/bin/sh
# A container that has tar and no JVM: in the place of a dump it prints the words that the tool was given.
case $1 in
    sh) printf 'x86_64\n/tmp\n' ;;
    tar) cat >/dev/null ;;
    */jmap-dump-tool-*)
        case $2 in
            check) echo '[{"what":"size","pause_seconds":1.5}]' ;;
            dump | take)
                shift 2
                echo "given $*"
                while [ -e "$DIR/hold" ]; do sleep 0.1; done
                ;;
        esac
        ;;
esac
