//! Makes one page of the listing, without any other resource. The page can be mailed, and works without scripts.

use chrono::{DateTime, Utc};

use super::row::Row;
use crate::base::printable::is_command;
use crate::base::units::Bytes;
use crate::delivery::resume_command::quoted;
use crate::hprof::ClassShare;
use crate::object::receipt::OUT_OF_MEMORY;

/// The page loads nothing from anywhere, whatever a name in the bucket says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Head of the table. The rows come in the order of the first column.
const HEAD: &str =
    "<th aria-sort=descending>Time<th>App<th>Env<th>State<th>Size<th>Pod and JVM<th>Fills the heap<th>Dump";

/// Most classes that one row shows.
const CLASSES_SHOWN: usize = 4;

/// Characters of a SHA-256 that one row shows, enough to tell objects apart.
const SHA_SHOWN: usize = 12;

/// The source of the rows.
pub struct Whence<'a> {
    /// `project`, `project/app` or `project/app/env`.
    pub under: &'a str,
    pub store: &'a str,
    /// The flags by which a command reaches the store.
    pub flags: &'a str,
}

/// Returns the listing as HTML.
pub fn page(whence: &Whence<'_>, rows: &[Row], now: DateTime<Utc>) -> String {
    let title = format!("Heap dumps of {}", escaped(whence.under));
    let (store, made, until) = (escaped(whence.store), now.format("%Y-%m-%d %H:%M UTC"), ends(rows));
    let body: String = rows.iter().map(|row| self::row(row, whence, now)).collect();
    let table = format!("<table><thead><tr>{HEAD}</thead><tbody>\n{body}</tbody></table>\n");
    let shown = if rows.is_empty() { empty(whence) } else { how_to_open() };
    let hidden = if rows.is_empty() { " hidden" } else { "" };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\n\
         <meta name=referrer content=no-referrer>\n\
         <meta http-equiv=Content-Security-Policy content=\"{POLICY}\">\n\
         <title>{title}</title><style>{STYLE}</style>\n\
         <h1>{title}</h1><p>{} in {store} as of {made}{until}</p>\n{shown}\
         <div class=tools hidden><input type=search placeholder=Filter aria-label=Filter>\
         <output aria-live=polite></output></div>\n\
         <div{hidden}>{table}</div>\
         <script>{SCRIPT}</script></html>\n",
        count(rows.len())
    )
}

/// Returns the text for a listing without objects: how to make a dump.
fn empty(whence: &Whence<'_>) -> String {
    let mut names = whence.under.split('/');
    let [project, app, env] = ["PROJECT", "APP", "ENV"].map(|word| names.next().unwrap_or(word));
    let dump = format!("kubectl exec POD -- /jmap-dump-tool {}{project} {app} {env}", whence.flags);
    format!(
        "<div class=empty><p>Nothing is stored below <code>{}</code> in <code>{}</code>. Names are case-sensitive.\
         <p>Make a dump of a running JVM:<p><code>{}</code></div>\n",
        escaped(whence.under),
        escaped(whence.store),
        escaped(&dump)
    )
}

fn how_to_open() -> String {
    "<details><summary>How to open a dump</summary>\
     <p>Eclipse MAT 1.12 and newer opens the <code>.hprof.gz</code> as it is. VisualVM and most other tools need the \
     plain file: <code>gunzip FILE.hprof.gz</code>. The fetch command downloads a dump and verifies it.</details>\n"
        .into()
}

/// Returns when the first of the links ends, or why that is not known.
fn ends(rows: &[Row]) -> String {
    if let Some(warning) = rows.iter().find_map(|row| row.link_warning.as_deref()) {
        return format!("; {}", escaped(warning));
    }
    let first = rows.iter().filter_map(|row| row.link_until.as_deref()).min();
    first.map(|until| format!("; the links end at {}", escaped(until))).unwrap_or_default()
}

fn count(rows: usize) -> String {
    if rows == 1 { "1 object".into() } else { format!("{rows} objects") }
}

fn row(row: &Row, whence: &Whence<'_>, now: DateTime<Utc>) -> String {
    let name = |name: &Option<String>| format!("<td>{}", escaped(name.as_deref().unwrap_or_default()));
    [
        time(&row.time, now),
        name(&row.app),
        name(&row.env),
        format!("<td>{}", state(row)),
        size(row),
        format!("<td>{}", jvm(row)),
        classes(row),
        format!("<td>{}\n", get(row, whence)),
    ]
    .concat()
}

fn time(time: &str, now: DateTime<Utc>) -> String {
    let shown = time.replace('T', " ").replace('Z', " UTC");
    let ago = DateTime::parse_from_rfc3339(time).map(|time| ago(now.signed_duration_since(time).num_seconds()));
    let (time, shown, ago) = (escaped(time), escaped(&shown), ago.unwrap_or_default());
    format!("<tr><td data-v=\"{time}\"><time datetime=\"{time}\">{shown}</time><small>{ago}</small>")
}

fn ago(seconds: i64) -> String {
    let words = |amount: i64, unit: &str| format!("{amount} {unit}{} ago", if amount == 1 { "" } else { "s" });
    match seconds {
        ..60 => "just now".into(),
        60..3600 => words(seconds / 60, "minute"),
        3600..86400 => words(seconds / 3600, "hour"),
        86400.. => words(seconds / 86400, "day"),
    }
}

fn state(row: &Row) -> String {
    let chip = |kind: &str, text: &str| format!("<span class=\"chip {kind}\">{}</span>", escaped(text));
    let mut chips = chip("", row.kind.words());
    match row.complete {
        Some(true) => chips += &chip("good", row.state()),
        Some(false) => chips += &chip("bad", row.state()),
        None => {}
    }
    if row.out_of_memory {
        chips += &chip("bad", OUT_OF_MEMORY);
    }
    if let Some(redacted) = &row.redacted {
        chips += &chip("", &format!("redacted: {redacted}"));
    }
    let requester = row.requester().map(|requester| small(&format!("asked by {requester}"))).unwrap_or_default();
    chips + &small(row.reason.as_deref().filter(|reason| *reason != OUT_OF_MEMORY).unwrap_or_default()) + &requester
}

fn small(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<small>{}</small>", escaped(text)) }
}

fn size(row: &Row) -> String {
    let raw = row.raw_bytes.map(|raw| small(&format!("{} raw", Bytes(raw)))).unwrap_or_default();
    let pause = row.pause.map(|pause| small(&format!("paused {pause:.2} s"))).unwrap_or_default();
    format!("<td data-v={}>{}{raw}{pause}", row.bytes, Bytes(row.bytes))
}

fn jvm(row: &Row) -> String {
    let jvm = row.jvm.as_ref().map(|version| small(&format!("Java {version}"))).unwrap_or_default();
    escaped(row.pod.as_deref().unwrap_or_default()) + &small(row.main_class.as_deref().unwrap_or_default()) + &jvm
}

/// Shows the application's classes first: most heaps are full of `byte[]`, which says little.
fn classes(row: &Row) -> String {
    let item =
        |class: &ClassShare, own: &str| format!("<li{own}>{} {}", Bytes(class.amount.bytes), escaped(&class.name));
    let others = row.top_classes.iter().filter(|class| !row.application_classes.contains(class));
    let own = row.application_classes.iter().map(|class| item(class, " class=own"));
    let items: String = own.chain(others.map(|class| item(class, ""))).take(CLASSES_SHOWN).collect();
    let largest = row.application_classes.first().or(row.top_classes.first()).map_or(0, |class| class.amount.bytes);
    format!("<td data-v={largest}>{}", if items.is_empty() { items } else { format!("<ol>{items}</ol>") })
}

fn get(row: &Row, whence: &Whence<'_>) -> String {
    let name = escaped(row.key.rsplit('/').next().unwrap_or_default());
    let link = match &row.link {
        Some(link) => {
            format!("<a class=get download href=\"{}\" aria-label=\"Download {name}\">Download</a>", escaped(link))
        }
        None => "<span class=get>no link</span>".into(),
    };
    let context = row.context_link.as_ref().map(|link| {
        format!("<a href=\"{}\" aria-label=\"Threads and flags of {name}\">threads, flags</a>", escaped(link))
    });
    let short = row.sha256.as_ref().map(|sha| format!("SHA-256 {}…", sha.chars().take(SHA_SHOWN).collect::<String>()));
    let dashes = if row.key.starts_with('-') { "-- " } else { "" };
    let fetch = format!("jmap-dump-tool fetch {}{dashes}{}", whence.flags, quoted(&row.key));
    let code =
        |what: &str, class: &str, text: &str| format!("<dt>{what}<dd><code class={class}>{}</code>", escaped(text));
    format!(
        "{link}{}<div class=copy></div><details><summary>{}</summary><dl>{}{}{}</dl></details>",
        context.unwrap_or_default(),
        escaped(short.as_deref().unwrap_or("more")),
        row.sha256.as_ref().map(|sha| code("SHA-256", "sha", sha)).unwrap_or_default(),
        code("Fetch and verify", "fetch", &fetch),
        code("Object", "object", &row.url)
    )
}

/// Escapes a text for HTML, also for values in double quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if is_command(c) => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Listed;

    #[test]
    fn a_name_in_the_bucket_is_text_and_nothing_else() {
        let key = "p/<script>alert(1)</script>\"'.gz";
        let listed = Listed { key: key.into(), bytes: 1, modified: DateTime::UNIX_EPOCH, e_tag: None };
        let mut evil = Row::of(&listed, key.into());
        evil.link = Some("https://x/?a=1&b=\"><img src=x>".into());
        evil.link_warning = Some("the token <ends>".into());
        evil.context_link = evil.link.clone();
        evil.application_classes = vec![ClassShare { name: "<img>".into(), amount: Default::default() }];
        evil.reason = Some("<script>alert(2)".into());
        let whence = Whence { under: "p", store: "s3://b", flags: "--store s3://b " };
        let page = page(&whence, &[evil], DateTime::UNIX_EPOCH);
        assert!(page.contains("; the token &lt;ends&gt;"), "{page}");
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
        assert_eq!(page.matches("<script>").count(), 1);
        assert_eq!((SCRIPT.matches("</").count(), STYLE.matches('<').count()), (0, 0));
    }

    #[test]
    fn times_are_told_from_the_time_of_the_page() {
        let told = [-5, 0, 59, 60, 3599, 7200, 86400, 172_800].map(ago);
        let words = ["just now", "just now", "just now", "1 minute ago", "59 minutes ago", "2 hours ago", "1 day ago"];
        assert_eq!(told[..7], words);
        assert_eq!(told[7], "2 days ago");
    }
}
