//! The texts above and below the flags in the help and the man page of each verb. No line is longer than 75 columns: a
//! man page has a margin.

/// The help of the program: first what to type, then the verbs.
pub const TEMPLATE: &str = "\
{about-with-newline}
{usage-heading} {usage}

{before-help}{all-args}{after-help}";

pub const THREE_WORDS: &str = "\
Three words dump the JVM with the lowest pid, and store the dump under
PROJECT/APP/ENV. The JVM stands still while it writes its dump.

  jmap-dump-tool --store s3://BUCKET/heaps shop cart prod  # a bucket
  jmap-dump-tool --store /dumps shop cart prod             # a directory
  jmap-dump-tool --store - shop cart prod > dump.hprof.gz  # a file

Ask first, without dumping: jmap-dump-tool check
All flags of a dump: jmap-dump-tool dump --help";

macro_rules! exit_status {
    () => {
        "\
Exit status:
  0  stored and verified
  1  unexpected
  2  usage or settings
  3  no JVM found, or not the one asked for
  4  attach not possible
  5  the JVM failed to dump, or the dump is incomplete
  6  not enough room, or local I/O failed
  7  dumped, but not stored: the dump is kept, and the receipt says where
  8  deadline or signal
  9  the store is unusable; nothing was dumped"
    };
}

/// Joins texts of a help, with an empty line between.
macro_rules! texts {
    ($first:expr $(, $next:expr)*) => { concat!($first $(, "\n\n", $next)*) };
}

macro_rules! signing_stores {
    () => {
        "\
Stores:
  s3://BUCKET/PREFIX     Amazon S3, and stores like it with --endpoint
  oss://BUCKET/PREFIX    Aliyun OSS, with --region or --endpoint
  obs://BUCKET/PREFIX    Huawei OBS, with --region or --endpoint
  gs://BUCKET/PREFIX     Google Cloud Storage
  az://CONTAINER/PREFIX  Azure Blob Storage, with --account"
    };
}

macro_rules! stores {
    () => {
        concat!(
            signing_stores!(),
            "
  https://HOST/DIR       WebDAV
  /DIR                   a directory"
        )
    };
}

macro_rules! stores_of_one_dump {
    () => {
        concat!(
            stores!(),
            "
  https://…?SIGNATURE    one object, by a URL of 'presign': a secret, so
                         give it as JMAP_DUMP_STORE
  '-'                    standard output"
        )
    };
}

macro_rules! settings {
    () => {
        "\
Settings:
  The flag --retry-for, the variable JMAP_DUMP_RETRY_FOR and the key
  retry_for in jmap-dump-tool.toml beside this program are one setting.
  Secrets are never flags: JMAP_DUMP_ACCESS_KEY_ID and
  JMAP_DUMP_SECRET_ACCESS_KEY, JMAP_DUMP_ACCOUNT_KEY (Azure),
  JMAP_DUMP_PASSWORD (WebDAV)."
    };
}

/// Hints of errors lead here.
pub const STORES_AND_STATUS: &str = texts!(stores_of_one_dump!(), exit_status!());

pub const DUMP: &str = texts!(
    "\
Examples:
  jmap-dump-tool --store s3://BUCKET/heaps shop cart prod
  jmap-dump-tool --pid 17 --redact --store /dumps shop cart prod
  jmap-dump-tool --if 'heap>85%' --deadline 25s shop cart prod",
    stores_of_one_dump!(),
    settings!()
);

pub const TAKE: &str = texts!(
    "\
Kinds, and what each one costs the application:
  threads    the stacks of all threads; the JVM stands still for about 5 ms
             per 100 threads
  histogram  instances and bytes of each class, with unreachable objects;
             no collection; the JVM stands still for about 1 s per GB
  memory     native memory (NMT where it is on), mappings by category,
             threads, container; no pause, but a new mapping waits for some
             ms while the kernel counts
  info       version, flags, heap, machine; no -D, arguments or
             environment; no pause",
    "\
Examples:
  jmap-dump-tool take threads --store /dumps shop cart prod
  jmap-dump-tool take threads,histogram --pid 17 shop cart prod",
    "\
Notes:
  Each kind is an object of its own. If a kind fails, the others are
  stored. The exit status is that of the first failure.
  Three words mean a dump: 'take cart prod' is PROJECT APP ENV.",
    stores!(),
    settings!()
);

pub const PS: &str = "\
Examples:
  jmap-dump-tool ps
  jmap-dump-tool ps --output json";

pub const CHECK: &str = texts!(
    "\
Examples:
  jmap-dump-tool check
  jmap-dump-tool check --pid 17 --store /dumps shop cart prod",
    stores_of_one_dump!(),
    settings!()
);

pub const UPLOAD: &str = texts!(
    "\
Examples:
  jmap-dump-tool upload shop cart prod /dumps/java_pid1.hprof
  jmap-dump-tool upload --delete shop cart prod /dumps/*.hprof
  jmap-dump-tool upload --resume /tmp",
    stores_of_one_dump!(),
    settings!()
);

pub const WATCH: &str = texts!(
    "\
Examples:
  jmap-dump-tool watch --store s3://BUCKET/heaps shop cart prod /dumps
  jmap-dump-tool watch --pattern 'hs_err_pid*.log' shop cart prod /dumps",
    stores!(),
    settings!()
);

pub const STATUS: &str = "\
Examples:
  jmap-dump-tool status /dumps/jmap-dump-tool/status.json";

pub const LIST: &str = texts!(
    "\
Examples:
  jmap-dump-tool list --store s3://BUCKET/heaps shop
  jmap-dump-tool list --links 24h --output html shop cart > dumps.html",
    stores!(),
    settings!()
);

pub const FETCH: &str = texts!(
    "\
Examples:
  jmap-dump-tool fetch --store s3://BUCKET/heaps KEY
  jmap-dump-tool fetch --gunzip --to /tmp KEY",
    stores!(),
    settings!()
);

pub const PRESIGN: &str = texts!(
    "\
Examples:
  jmap-dump-tool presign --store s3://BUCKET/heaps shop cart prod
  jmap-dump-tool presign --valid 30m shop cart prod",
    signing_stores!(),
    settings!()
);

pub const VERIFY: &str = "\
Examples:
  jmap-dump-tool verify dump.hprof.gz";

pub const ARM: &str = "\
Examples:
  jmap-dump-tool arm --path /dumps
  jmap-dump-tool arm --match cart.jar --path /dumps";

pub const INSTALL: &str = "\
Examples:
  jmap-dump-tool install /tools";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    const ALL: [&str; 15] = [
        TAKE,
        THREE_WORDS,
        STORES_AND_STATUS,
        DUMP,
        PS,
        CHECK,
        UPLOAD,
        WATCH,
        STATUS,
        LIST,
        FETCH,
        PRESIGN,
        VERIFY,
        ARM,
        INSTALL,
    ];

    #[test]
    fn each_example_is_a_command_line_of_the_program() {
        let mut read = 0;
        for line in ALL.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("  jmap-dump-tool ")) {
            let words = line.split(" > ").next().and_then(|line| line.split(" # ").next()).unwrap_or_default();
            let words = words.split_whitespace().map(|word| word.trim_matches('\''));
            let result = Cli::read(std::iter::once("jmap-dump-tool").chain(words).map(Into::into));
            assert!(result.is_ok(), "{line}: {result:?}");
            read += 1;
        }
        assert!(read > 20, "{read}");
    }

    #[test]
    fn each_line_fits_a_man_page() {
        for line in ALL.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 75, "{line}");
        }
    }
}
