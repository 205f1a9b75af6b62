//! The layers of `src/lib.rs`: a module uses its own layer and those below it.

use std::fs;
use std::path::{Path, PathBuf};

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

#[test]
fn no_module_uses_a_layer_above_its_own() {
    let layers = layers(&fs::read_to_string(Path::new(SRC).join("lib.rs")).unwrap());
    let mut wrong = Vec::new();
    let mut uses = 0;
    for file in rust_files(Path::new(SRC)) {
        let path = file.strip_prefix(SRC).unwrap().to_str().unwrap();
        let code = fs::read_to_string(&file).unwrap();
        uses += used_layers(path, &code).len();
        wrong.extend(upward(&layers, path, &code));
    }
    assert!(wrong.is_empty(), "imports that point upwards:\n{}", wrong.join("\n"));
    // A test that finds no imports would always pass.
    assert!(uses > 500, "only {uses} imports were found");
}

#[test]
fn a_planted_upward_import_is_found() {
    let layers = ["commands", "store", "base"].map(String::from);
    let planted = |path, code| upward(&layers, path, code).len();
    assert_eq!(planted("base/units.rs", "use crate::store::Upload;\n"), 1);
    assert_eq!(planted("base/units.rs", "use crate::{store::Upload, commands};\n"), 2);
    assert_eq!(planted("base/units.rs", "fn a() { super::super::commands::run() }\n"), 1);
    assert_eq!(planted("base/mod.rs", "fn a() { super::store::abort() }\n"), 1);
    assert_eq!(planted("store/remote/part.rs", "use crate::base::units::Bytes;\nuse super::super::url;\n"), 0);
    assert_eq!(planted("store/mod.rs", "// crate::commands is above\n/// See [`crate::commands`].\n"), 0);
}

#[test]
fn src_holds_the_layers_and_five_files_at_most() {
    let layers = layers(&fs::read_to_string(Path::new(SRC).join("lib.rs")).unwrap());
    let mut files = 0;
    for entry in fs::read_dir(SRC).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            assert!(layers.contains(&name), "{name} is no layer of lib.rs");
        } else {
            files += 1;
        }
    }
    assert!(files <= 5, "{files} files in src");
}

/// From top to bottom.
fn layers(lib: &str) -> Vec<String> {
    let names = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

fn upward(layers: &[String], path: &str, code: &str) -> Vec<String> {
    let layer = path.split('/').next().unwrap().trim_end_matches(".rs");
    let place = |name: &str| layers.iter().position(|layer| layer == name);
    // main.rs and lib.rs stand above all layers.
    let Some(own) = place(layer) else { return Vec::new() };
    let used = used_layers(path, code).into_iter().filter(|used| place(used).is_some_and(|used| used < own));
    used.map(|used| format!("{path} uses {used}")).collect()
}

/// The first name of each path that begins at the root of the crate.
fn used_layers(path: &str, code: &str) -> Vec<String> {
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let below_root = path.split('/').count() - usize::from(path.ends_with("/mod.rs"));
    let to_root = "super::".repeat(below_root);
    let mut used = Vec::new();
    for root in ["crate::", to_root.as_str()] {
        for (at, _) in code.match_indices(root) {
            let is_whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if is_whole {
                used.extend(first_names(&code[at + root.len()..]));
            }
        }
    }
    used
}

/// `a` of `a::b`, and of each path of `{a::b, c}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

/// Each row of its table of crashes names a test, and each file that it names is there.
#[test]
fn architecture_names_tests_and_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let tests: Vec<(&str, &str)> = named.iter().filter_map(|word| word.split_once("::")).filter(is_test).collect();
    assert!(tests.len() >= 10, "{tests:?}");
    for (module, test) in tests {
        let code = fs::read_to_string(root.join(format!("tests/suite/{module}.rs"))).unwrap();
        assert!(code.contains(&format!("fn {test}(")), "there is no {module}::{test}");
    }
    let sources: Vec<PathBuf> = rust_files(Path::new(SRC));
    let files: Vec<&&str> = named.iter().filter(|word| word.ends_with(".rs") && !word.contains(' ')).collect();
    assert!(files.len() > 30, "{files:?}");
    for file in files {
        let is_there = root.join(file).exists() || sources.iter().any(|source| source.ends_with(file));
        assert!(is_there, "there is no {file}");
    }
}

fn is_test((module, test): &(&str, &str)) -> bool {
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    is_name(module) && is_name(test) && test.contains('_') && test.len() > 20
}
