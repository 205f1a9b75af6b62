//! Parses the command line of a JVM: the options of the VM, all their sources, and the main class. No I/O (JDK:
//! `src/java.base/share/native/libjli/java.c` and `args.c`; `src/hotspot/share/runtime/arguments.cpp`).

/// Options of the launcher whose value is the next word (JDK: `java.c`, `IsWhiteSpaceOption` and its callers).
const WITH_VALUE: &[&str] = &[
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--add-exports",
    "--add-opens",
    "--add-reads",
    "--limit-modules",
    "--patch-module",
    "--enable-native-access",
];

/// The option for the directory of socket, attach file and hsperfdata, from JDK 28 on (JDK-8384557).
const ALT_TEMP_DIR: &str = "-XX:AltTempDir=";

/// Most option files that are read. No real command line names so many.
const FILES_MAX: usize = 64;

/// The command line of a process, with its options from all sources.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The options that the VM may read, in its order: the last of two counts. For a program that is not the launcher,
    /// all its words.
    options: Vec<String>,
    /// The main class, jar or module; the name of a program that is not called java. Without arguments, because they
    /// may be secrets.
    pub main: Option<String>,
}

/// Reads a variable or a file of the process by its name. `None` if it does not exist.
type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

impl CommandLine {
    /// Parses `/proc/PID/cmdline`, and the variables and files that add options.
    pub fn of(cmdline: &[u8], variable: Read<'_>, file: Read<'_>) -> Self {
        let text = String::from_utf8_lossy(cmdline);
        let mut words = text.split('\0').filter(|word| !word.is_empty()).map(str::to_owned);
        let Some(program) = words.next() else { return Self::default() };
        let program = program.rsplit('/').next().unwrap_or_default();
        let of_variable = |name: &str| variable(name).map(|text| split(&text, Style::Options)).unwrap_or_default();
        let (options, main) = if program == "java" {
            // The launcher puts the words of its variable before the command line.
            let words = of_variable("JDK_JAVA_OPTIONS").into_iter().chain(words);
            of_launcher(&expanded(words, file))
        } else {
            // The arguments of another program are not returned, because they may be secrets. The tools of the JDK pass
            // on the rest of a word after -J.
            let options = words.map(|word| word.strip_prefix("-J").map_or(word.clone(), str::to_owned)).collect();
            (options, Some(program.to_owned()))
        };
        let all = [of_variable("JAVA_TOOL_OPTIONS"), options, of_variable("_JAVA_OPTIONS")].concat();
        Self { options: with_files(all, file), main }
    }

    /// Returns the directory that the VM uses instead of /tmp. A relative path is ignored (JDK 28's own message:
    /// "AltTempDir is ignored because it must be an absolute pathname").
    pub fn alt_temp_dir(&self) -> Option<&str> {
        let told = self.options.iter().rev().find_map(|word| word.strip_prefix(ALT_TEMP_DIR))?;
        told.starts_with('/').then_some(told)
    }

    pub fn disables_attach(&self) -> bool {
        let of_word =
            |word: &String| word.strip_prefix("-XX:")?.strip_suffix("DisableAttachMechanism").map(|sign| sign == "+");
        self.options.iter().rev().find_map(of_word) == Some(true)
    }

    /// Returns whether a word is the path of a JVM's library.
    pub fn names_libjvm(&self) -> bool {
        self.options.iter().any(|word| word.rsplit('/').next() == Some("libjvm.so"))
    }
}

/// Splits the words of the launcher into options and main class. All words after the main class belong to the
/// application.
fn of_launcher(words: &[String]) -> (Vec<String>, Option<String>) {
    let (mut options, mut words) = (Vec::new(), words.iter());
    while let Some(word) = words.next() {
        if matches!(&**word, "-jar" | "-m" | "--module") {
            return (options, words.next().cloned());
        }
        if !word.starts_with(['-', '@']) {
            return (options, Some(word.clone()));
        }
        if WITH_VALUE.contains(&&**word) {
            words.next();
        }
        options.push(word.clone());
    }
    (options, None)
}

/// Adds the options of the files that options name. Those of a flags file come before all others. Those of an options
/// file stand in its place.
fn with_files(options: Vec<String>, file: Read<'_>) -> Vec<String> {
    let (mut first, mut all, mut files) = (Vec::new(), Vec::new(), 0);
    for option in options {
        let named = option.strip_prefix("-XX:VMOptionsFile=").or_else(|| option.strip_prefix("-XX:Flags="));
        let Some(text) = named.filter(|_| files < FILES_MAX).map(|name| file(name).unwrap_or_default()) else {
            all.push(option);
            continue;
        };
        files += 1;
        if option.starts_with("-XX:Flags=") {
            first = text.split_ascii_whitespace().map(|flag| format!("-XX:{flag}")).collect();
        } else {
            all.extend(split(&text, Style::Options));
        }
    }
    first.extend(all);
    first
}

/// Replaces `@FILE` by the words of the file. `@@` stands for a word that begins with `@`. The words of a file are not
/// expanded again (JDK: `args.c`, `JLI_PreprocessArg`).
fn expanded(words: impl Iterator<Item = String>, file: Read<'_>) -> Vec<String> {
    let (mut all, mut files, mut expands) = (Vec::new(), 0, true);
    for word in words {
        expands &= word != "--disable-@files";
        match word.strip_prefix('@').filter(|_| expands) {
            Some(rest) if rest.starts_with('@') => all.push(rest.to_owned()),
            Some(name) if files < FILES_MAX => {
                files += 1;
                match file(name) {
                    Some(text) => all.extend(split(&text, Style::ArgFile)),
                    None => all.push(word),
                }
            }
            _ => all.push(word),
        }
    }
    all
}

/// The rules by which a text is split into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Splits at white space outside of quotes.
    Options,
    /// As `Options`, with comments, and with escapes in quotes.
    ArgFile,
}

fn split(text: &str, style: Style) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', Some(_)) if style == Style::ArgFile => match chars.next() {
                // A backslash at the end of a line: the word goes on in the next line.
                Some('\n' | '\r') => chars = skipped(chars),
                Some(c) => word.get_or_insert_default().push(unescaped(c)),
                None => {}
            },
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if style == Style::ArgFile => {
                words.extend(word.take());
                chars.find(|c| matches!(c, '\n' | '\r'));
            }
            (c, None) if c.is_ascii_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn skipped(chars: std::str::Chars<'_>) -> std::str::Chars<'_> {
    chars.as_str().trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).chars()
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'f' => '\u{c}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Read<'_> = &|_| None;

    fn main_of(cmdline: &[u8]) -> Option<String> {
        CommandLine::of(cmdline, NOTHING, NOTHING).main
    }

    #[test]
    fn the_main_class_is_found_behind_options_that_take_a_value() {
        assert_eq!(main_of(b"java\0-Xmx1g\0-cp\0a.jar\0com.shop.Main\0--token=x\0").as_deref(), Some("com.shop.Main"));
        assert_eq!(main_of(b"java\0-jar\0/app/app.jar\0x\0").as_deref(), Some("/app/app.jar"));
        assert_eq!(main_of(b"/app/server\0--db-password\0hunter2\0").as_deref(), Some("server"));
        assert_eq!(main_of(b"java\0-version\0"), None);
        assert_eq!(main_of(b""), None);
    }

    /// Returns the `dir` of a command line, by the text of its files and variables.
    fn told(cmdline: &str, variables: &[(&str, &str)], files: &[(&str, &str)]) -> Option<String> {
        let of = |all: &[(&str, &str)], name: &str| {
            all.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned())
        };
        let (variable, file) = (|name: &str| of(variables, name), |name: &str| of(files, name));
        let line = CommandLine::of(cmdline.replace(' ', "\0").as_bytes(), &variable, &file);
        line.alt_temp_dir().map(str::to_owned)
    }

    #[test]
    fn the_temporary_directory_is_found_in_each_source() {
        let option = "-XX:AltTempDir=/alt";
        let args = "# ours\n-Xmx1g \"-XX:AltTempDir=/a b\\\\c\" # more\n-cp x\nMain";
        for (cmdline, variables, files, dir) in [
            ("java -XX:AltTempDir=/alt Main", &[][..], &[][..], Some("/alt")),
            ("java -XX:AltTempDir=/old -XX:AltTempDir=/alt Main", &[], &[], Some("/alt")),
            ("java -cp x Main -XX:AltTempDir=/alt", &[], &[], None),
            ("java -XX:AltTempDir=alt Main", &[], &[], None),
            ("java -XX:AltTempDir= Main", &[], &[], None),
            ("java Main", &[("JAVA_TOOL_OPTIONS", option)], &[], Some("/alt")),
            ("java Main", &[("JDK_JAVA_OPTIONS", option)], &[], Some("/alt")),
            (
                "java -XX:AltTempDir=/old Main",
                &[("_JAVA_OPTIONS", "-Da='b c' '-XX:AltTempDir=/alt'")],
                &[],
                Some("/alt"),
            ),
            ("java -XX:AltTempDir=/alt Main", &[("JAVA_TOOL_OPTIONS", "-XX:AltTempDir=/old")], &[], Some("/alt")),
            ("java @args", &[], &[("args", args)], Some("/a b\\c")),
            ("java @args -XX:AltTempDir=/late", &[], &[("args", args)], Some("/a b\\c")),
            ("java @@args Main", &[], &[("args", args)], None),
            ("java --disable-@files @args Main", &[], &[("args", args)], None),
            ("java Main", &[("JDK_JAVA_OPTIONS", "@args")], &[("args", "-XX:AltTempDir=/alt")], Some("/alt")),
            ("java -XX:VMOptionsFile=o Main", &[], &[("o", "-Xmx1g\n-XX:AltTempDir=/alt")], Some("/alt")),
            ("java -XX:Flags=o Main", &[], &[("o", "+UseSerialGC\nAltTempDir=/alt\n")], Some("/alt")),
            ("java -XX:Flags=o -XX:AltTempDir=/b Main", &[], &[("o", "AltTempDir=/alt")], Some("/b")),
            ("/opt/jsvc -home /jdk -XX:AltTempDir=/alt Main", &[], &[], Some("/alt")),
            ("jcmd -J-XX:AltTempDir=/alt", &[], &[], Some("/alt")),
            ("jsvc Main", &[("JDK_JAVA_OPTIONS", option)], &[], None),
        ] {
            assert_eq!(told(cmdline, variables, files).as_deref(), dir, "{cmdline} {variables:?}");
        }
    }

    #[test]
    fn the_last_word_says_whether_attaching_is_disabled() {
        let tool_options = |name: &str| (name == "JAVA_TOOL_OPTIONS").then(|| "-XX:+DisableAttachMechanism".to_owned());
        let line = |cmdline: &[u8]| CommandLine::of(cmdline, &tool_options, NOTHING).disables_attach();
        assert!(line(b"java\0Main"));
        assert!(!line(b"java\0-XX:-DisableAttachMechanism\0Main"));
        assert!(line(b"java\0Main\0-XX:-DisableAttachMechanism"));
    }

    #[test]
    fn a_line_goes_on_behind_a_backslash_in_quotes() {
        assert_eq!(split("\"-XX:AltTempDir=/a\\\n   /b\" 'c\\td'", Style::ArgFile), ["-XX:AltTempDir=/a/b", "c\td"]);
        assert_eq!(split("a 'b \\t' \"\"", Style::Options), ["a", "b \\t", ""]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(cmdline in ".{0,80}", text in ".{0,80}") {
            let given = |_: &str| Some(text.clone());
            let line = CommandLine::of(format!("java\0@x\0{cmdline}").as_bytes(), &given, &given);
            let _ = (line.alt_temp_dir(), line.disables_attach());
        }
    }
}
