#!/usr/bin/env python3
"""The back end of a console, as an example: copy in, exec, read the exit status, show the list, link.

    console-backend.py dump --exec 'kubectl exec -i POD -c CONTAINER --' PROJECT APP ENV [FLAGS]
    console-backend.py list PROJECT [APP [ENV]] [FLAGS]

JMAP_DUMP_STORE names the store. Its credentials reach the container over standard input, as a settings file: an
argument could be read by every process there. docs/console.md describes every field that is used here.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys

BINARY = os.environ.get("JMAP_DUMP_BINARY", "jmap-dump-tool")  # static: one file serves every image of its processor
INSIDE = "/tmp/jmap-dump-tool"
# Those of every kind of store. ca_file is the same path here and in the container.
SETTINGS = ["store", "endpoint", "region", "path_style", "cname", "encryption", "kms_key_id", "proxy", "ca_file",
            "access_key_id", "secret_access_key", "session_token", "account", "account_key", "username", "password"]
# What the user is told. 7 and 8 may have kept a dump: the receipt says so.
OUTCOMES = {
    0: "stored", 2: "the settings are wrong", 3: "there is no such JVM", 4: "the JVM cannot be attached to",
    5: "the JVM did not dump", 6: "there is no room", 7: "dumped, but not stored", 8: "out of time",
    9: "the store is unusable; nothing was dumped",
}
RETRY = {9}  # the JVM was not paused


def copy_in(execute):
    """The image needs a shell, or tar for a tar stream. Without both, take an ephemeral container."""
    script = f"cat >{INSIDE}.new && chmod 700 {INSIDE}.new && mv {INSIDE}.new {INSIDE}"
    with open(BINARY, "rb") as binary:
        subprocess.run(execute + ["sh", "-c", script], stdin=binary, check=True)


def settings():
    """jmap-dump-tool.toml. JSON's strings are TOML's."""
    told = {key: os.environ.get(f"JMAP_DUMP_{key.upper()}") for key in SETTINGS}
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items() if value)


def dump(args, flags):
    execute = shlex.split(args.execute)
    copy_in(execute)
    command = execute + [INSIDE, "dump", *args.place, "--config", "-", "--output", "json", *flags]
    ended = subprocess.run(command, input=settings().encode(), stdout=subprocess.PIPE)
    # Without a receipt, the exec itself failed: no such pod, no rights, or the container ended (137).
    try:
        receipt = json.loads(ended.stdout)
    except ValueError:
        receipt = {}
    answer = {
        "status": ended.returncode,
        "outcome": OUTCOMES.get(ended.returncode, "the run was cut off; look at the list"),
        "retry": ended.returncode in RETRY,
        "key": receipt.get("object", {}).get("key"),
        "pause_seconds": receipt.get("dump", {}).get("pause"),
        "link": receipt.get("link"),
        "warnings": receipt.get("warnings", []),
        "error": receipt.get("error"),
        "resume": receipt.get("kept", {}).get("resume"),  # to be run in the same container
    }
    print(json.dumps(answer, indent=2))
    return ended.returncode


def show_list(args, flags):
    command = [BINARY, "list", *args.under, "--links", "1h", "--output", "json", *flags]
    ended = subprocess.run(command, stdout=subprocess.PIPE)
    if ended.returncode != 0:
        return ended.returncode
    for row in json.loads(ended.stdout):
        largest = (row["application_classes"] or row["top_classes"] or [{"name": "-"}])[0]["name"]
        state = {True: "whole", False: "TRUNCATED", None: row["kind"]}[row["complete"]]
        cause = "OutOfMemoryError" if row["out_of_memory"] else row["reason"] or "-"
        shown = [row["time"], row["app"] or "-", row["env"] or "-", state, cause, str(row["bytes"]), largest]
        print("\t".join(shown + [row.get("link", "no link")]))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("dump")
    verb.add_argument("--exec", dest="execute", required=True)
    verb.add_argument("place", nargs=3)
    verb.set_defaults(run=dump)
    verb = verbs.add_parser("list")
    verb.add_argument("under", nargs="+")
    verb.set_defaults(run=show_list)
    args, flags = parser.parse_known_args()
    return args.run(args, flags)


if __name__ == "__main__":
    sys.exit(main())
