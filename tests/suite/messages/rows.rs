//! What is typed wrong, and the exact words that come back.

/// Words, exit status, and standard error. `DIR` stands for the directory of the test.
pub type Row<'a> = (&'a [&'a str], i32, &'a str);

const LATE: &str = "error: 'list' is a verb, and a verb comes before its flags: jmap-dump-tool list …\nfor a project of that \
                    name type `dump list …`";

/// The message for a word or flag that `dump` does not know.
macro_rules! word {
    ($word:expr, $tip:expr) => {
        concat!(
            "error: unexpected argument '",
            $word,
            "' found\n\n  tip: ",
            $tip,
            "\n\nUsage: jmap-dump-tool dump [OPTIONS] <PROJECT> <APP> <ENV>\n\nFor more information, try '--help'."
        )
    };
}

/// The message for a value that makes no sense.
macro_rules! value {
    ($key:expr, $text:expr, $why:expr) => {
        concat!(
            "error: on the command line: ",
            $key,
            " = '",
            $text,
            "': ",
            $why,
            "\ncorrect it, or leave it out; --help tells what is possible"
        )
    };
}

/// Each row of the issue that needs no JVM.
pub const TABLE: &[Row<'_>] = &[
    (
        &["fetch", "shop/cart/prod", "--store", "DIR/store", "--to", "DIR/new"],
        2,
        "error: DIR/store/shop/cart/prod is a prefix of keys, and no key\ntake one that 'list' shows",
    ),
    (
        &["fetch", "shop/cart/prod/none.gz", "--store", "DIR/store", "--to", "DIR/new"],
        2,
        "error: no such key: DIR/store/shop/cart/prod/none.gz\ntake one that 'list' shows",
    ),
    (
        &["--access-key-id", "x", "--store", "s3://b", "shop", "cart", "prod"],
        2,
        "error: unexpected argument '--access-key-id' found\n\n  tip: secrets are never flags, for each process can read \
         them: set JMAP_DUMP_ACCESS_KEY_ID, or JMAP_DUMP_ACCESS_KEY_ID_FILE\n\nUsage: jmap-dump-tool dump [OPTIONS] \
         <PROJECT> <APP> <ENV>\n\nFor more information, try '--help'.",
    ),
    (
        &["verify", "/etc/passwd"],
        5,
        "error: /etc/passwd is no heap dump: it does not begin with JAVA PROFILE 1.0\nname a heap dump of a JVM, plain or \
         gzipped, such as java_pid1.hprof",
    ),
    (
        &["presign", "shop", "cart", "prod", "--store", "/dir"],
        2,
        "error: /dir signs no URLs: only s3, oss, obs, gs and az can sign\nname such a bucket with --store",
    ),
];

/// Thirty more.
pub const WRONG: &[Row<'_>] = &[
    (&["lst", "shop"], 2, "error: did you mean 'list'? 'lst' is no verb; for a project of that name type `dump lst …`"),
    (&["-v", "list", "shop"], 2, LATE),
    (&["--store", "DIR/store", "list", "shop", "cart"], 2, LATE),
    (
        &["watch", "shop", "cart"],
        2,
        "error: the following required arguments were not provided:\n  <ENV>\n  <DIR>\n\n  tip: for a project of that name type \
         `dump watch …`\n\nUsage: jmap-dump-tool watch [OPTIONS] <PROJECT> <APP> <ENV> <DIR>\n\nFor more information, try \
         '--help'.",
    ),
    (
        &["shop/cart/prod", "--store", "DIR/store"],
        2,
        "error: the following required arguments were not provided:\n  <APP>\n  <ENV>\n\n  tip: PROJECT APP ENV are three \
         words: shop cart prod\n\nUsage: jmap-dump-tool dump [OPTIONS] <PROJECT> <APP> <ENV>\n\nFor more information, try \
         '--help'.",
    ),
    (
        &["shop", "cart", "prod"],
        2,
        "error: no store is named\nname one:\n  --store s3://BUCKET/PREFIX            on the command line\n  \
         JMAP_DUMP_STORE=s3://BUCKET/PREFIX    in the environment\n  store = \"s3://BUCKET/PREFIX\"          in \
         jmap-dump-tool.toml beside the program\nor write the dump to standard output with --store -",
    ),
    (
        &["list", "shop"],
        2,
        "error: no store is named\nname one:\n  --store s3://BUCKET/PREFIX            on the command line\n  \
         JMAP_DUMP_STORE=s3://BUCKET/PREFIX    in the environment\n  store = \"s3://BUCKET/PREFIX\"          in \
         jmap-dump-tool.toml beside the program",
    ),
    (
        &["upload", "DIR/empty.hprof", "shop", "cart", "prod", "--store", "DIR/store"],
        2,
        "error: the file 'DIR/empty.hprof' comes last, behind PROJECT APP ENV\nfor example: upload shop cart prod \
         /dumps/java_pid1.hprof",
    ),
    (
        &["upload", "shop", "cart", "prod", "--store", "DIR/store"],
        2,
        "error: upload takes PROJECT APP ENV and files, or --resume DIR\nfor example: upload shop cart prod \
         /dumps/java_pid1.hprof; for a project of that name type: dump upload APP ENV",
    ),
    (
        &["upload", "shop", "cart", "prod", "DIR/receipt.json", "--store", "DIR/store"],
        5,
        "error: DIR/receipt.json is no heap dump: it does not begin with JAVA PROFILE 1.0\nname a heap dump of a JVM, plain \
         or gzipped, such as java_pid1.hprof",
    ),
    (
        &["upload", "shop", "cart", "prod", "DIR/empty.hprof", "--store", "DIR/store"],
        5,
        "error: DIR/empty.hprof is no heap dump: it is empty\nname a heap dump of a JVM, plain or gzipped, such as \
         java_pid1.hprof",
    ),
    (
        &["upload", "shop", "cart", "prod", "s3://b/k", "--store", "DIR/store"],
        2,
        "error: cannot read s3://b/k: No such file or directory (os error 2)\na file is needed here, and this is a URL: get \
         the object first: jmap-dump-tool fetch KEY",
    ),
    (
        &["upload", "--resume", "DIR/text.gz", "--store", "DIR/store"],
        2,
        "error: cannot read DIR/text.gz: Not a directory (os error 20)\nname a directory: DIR/text.gz is a file, or lies \
         behind one",
    ),
    (
        &["verify", "DIR"],
        2,
        "error: cannot read DIR: it is a directory, no regular file\nname a file: DIR is a directory",
    ),
    (
        &["verify", "DIR/text.gz"],
        5,
        "error: DIR/text.gz is no heap dump: it does not begin with JAVA PROFILE 1.0\nname a heap dump of a JVM, plain or \
         gzipped, such as java_pid1.hprof",
    ),
    (
        &["fetch", "https://b.s3.amazonaws.com/k?X-Amz-Signature=abc", "--store", "DIR/store"],
        2,
        "error: https://b.s3.amazonaws.com/k does not lie in the store DIR/store\nname its store with --store; a signed URL \
         needs no tool: curl -o dump.hprof.gz 'URL'",
    ),
    (&["fetch", "../x", "--store", "DIR/store"], 2, "error: '../x' is no key of an object\ntake one that 'list' shows"),
    (
        &["list", "shop", "--store", "-"],
        2,
        "error: nothing can be read from standard output or a signed URL\nname the bucket or the directory itself with \
         --store, and its key where it has one",
    ),
    (
        &["shop", "cart", "prod", "--store", "bucket"],
        2,
        "error: on the command line: the store 'bucket' is neither a URL nor a path that begins with '/' or '.'\nname a \
         store such as s3://BUCKET/PREFIX, /DIR or - (see --help, 'Stores')",
    ),
    (
        &["shop", "cart", "prod", "--store", "C:\\dumps"],
        2,
        "error: on the command line: the store 'C:\\dumps' is neither a URL nor a path that begins with '/' or '.'\nname a \
         store such as s3://BUCKET/PREFIX, /DIR or - (see --help, 'Stores')",
    ),
    (
        &["shop", "cart", "prod", "--store", "\"s3://b\""],
        2,
        "error: on the command line: the store \"s3://b\" begins with a quotation mark\nleave it out: a shell takes \
         quotation marks away, a file or a manifest leaves them there",
    ),
    (
        &["shop", "cart", "prod", "--store", "s3://minio:9000/b"],
        2,
        "error: on the command line: the bucket's name 'minio:9000' holds something other than letters, digits, '.', '-', \
         '_' and '$'\na server of your own is the endpoint: --store s3://BUCKET/PREFIX --endpoint https://HOST:PORT",
    ),
    (
        &["shop", "cart", "prod", "--store", "s3://id:secret@bucket"],
        2,
        "error: on the command line: the store's URL holds '@', which has no meaning here\ncredentials are never in the \
         URL: JMAP_DUMP_ACCESS_KEY_ID, or JMAP_DUMP_PASSWORD, has them",
    ),
    (&["shop", "cart", "prod", "store=s3://b"], 2, word!("store=s3://b", "a flag begins with two hyphens: --store=…")),
    (&["shop", "cart", "prod", "-store", "s3://b"], 2, word!("-s", "a flag begins with two hyphens: --store")),
    (&["shop", "cart", "prod", "--store=", "s3://b"], 2, word!("s3://b", "leave out the blank behind '=': --store=…")),
    (
        &["shop", "cart", "prod", "--password", "x"],
        2,
        word!(
            "--password",
            "secrets are never flags, for each process can read them: set JMAP_DUMP_PASSWORD, or JMAP_DUMP_PASSWORD_FILE"
        ),
    ),
    (&["shop", "cart", "prod", "--valid", "1h"], 2, word!("--valid", "'dump' has no --valid; it is a flag of presign")),
    (&["shop", "cart", "prod", "--redact", "everything"], 2, word!("everything", "--redact takes strings or all")),
    (
        &["shop", "cart", "prod", "--store", "DIR/store", "--pid", ""],
        2,
        value!("pid", "", "it is empty; is a variable of a script not set?"),
    ),
    (
        &["shop", "cart", "prod", "--store", "DIR/store", "--deadline", "1h30"],
        2,
        value!("deadline", "1h30", "not a time such as 25s, 10m or 1h30m"),
    ),
    (
        &["shop", "cart", "prod", "--store", "DIR/store", "--deadline", "30"],
        2,
        value!("deadline", "30", "a time needs a unit: 30s, 30m or 30h"),
    ),
    (
        &["shop", "cart", "prod", "--store", "DIR/store", "--disk-limit", "5GB"],
        2,
        value!("disk_limit", "5GB", "its unit is none of k, M, G, Ki, Mi, Gi, Ti"),
    ),
    (
        &["", "cart", "prod", "--store", "DIR/store"],
        2,
        "error: project '' is empty\nuse letters, digits, '.', '_' and '-', 1 to 128 bytes, not beginning with '.'",
    ),
    (
        &["shop", "cart", "prod", "--config", "DIR/text.gz"],
        2,
        "error: cannot read the settings file DIR/text.gz: it is no UTF-8 text\nname a text file: \
         DIR/text.gz is none",
    ),
    (
        &["status", "DIR/receipt.json"],
        2,
        "error: DIR/receipt.json is no status file of a watcher\nname the file that 'watch' writes: \
         DIR/jmap-dump-tool/status.json",
    ),
    (
        &["watch", "shop", "cart", "prod", "DIR/none", "--store", "DIR/store"],
        2,
        "error: cannot take dumps out of DIR/none: No such file or directory (os error 2)\nmount the volume of the JVM's \
         dumps at DIR/none, or make that directory",
    ),
    (
        &["install", "DIR/none"],
        6,
        "error: cannot install DIR/none/jmap-dump-tool: No such file or directory (os error 2)\nsee that its directory is \
         there",
    ),
    (
        &["presign", "shop", "cart", "prod", "--store", "s3://b", "--region", "eu-central-1", "--valid", "8d"],
        2,
        value!("valid", "8d", "longer than a week"),
    ),
];
