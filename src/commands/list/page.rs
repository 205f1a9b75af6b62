//! The listing as one page without any other resource: it can be mailed, and works without scripts.

use chrono::{DateTime, Utc};

use super::row::Row;
use crate::base::printable::is_command;
use crate::base::units::Bytes;

/// Nothing is loaded from anywhere, whatever a name in the bucket says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--bad:#c22}\
@media(prefers-color-scheme:dark){:root{--bad:#f77}}\
*{box-sizing:border-box}\
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:90rem;padding:1rem}\
h1{font-size:1.3rem;margin:.2rem 0}p{margin:.2rem 0 1rem;opacity:.75}\
input{font:inherit;padding:.4rem .6rem;width:100%;max-width:30rem;margin-bottom:1rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.45rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}\
th button{font:inherit;font-weight:600;background:none;border:0;padding:0;color:inherit;cursor:pointer}\
th[aria-sort=ascending] button::after{content:' \\2191'}th[aria-sort=descending] button::after{content:' \\2193'}\
tbody tr:hover{background:var(--soft)}\
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}.t{white-space:nowrap}\
.bad{color:var(--bad);font-weight:600}.k{overflow-wrap:anywhere}small{opacity:.75;display:block}\
@media(max-width:45rem){thead{display:none}tr{display:block;padding:.6rem 0;border-bottom:1px solid var(--line)}\
td{display:grid;grid-template-columns:6rem 1fr;border:0;padding:.15rem 0;text-align:left!important;white-space:normal!important}\
td::before{content:attr(data-l);opacity:.6}}";

const SCRIPT: &str = "\
const body=document.querySelector('tbody'),rows=[...body.rows],filter=document.querySelector('input');\
filter.hidden=false;\
filter.oninput=()=>rows.forEach(r=>r.hidden=!r.textContent.toLowerCase().includes(filter.value.toLowerCase()));\
document.querySelectorAll('th').forEach((th,i)=>{const b=document.createElement('button');b.textContent=th.textContent;\
th.replaceChildren(b);b.onclick=()=>{const up=th.getAttribute('aria-sort')!=='ascending';\
document.querySelectorAll('th').forEach(o=>o.removeAttribute('aria-sort'));th.setAttribute('aria-sort',up?'ascending':'descending');\
const v=r=>r.cells[i].dataset.v??r.cells[i].textContent;\
rows.sort((a,b)=>{const x=v(a),y=v(b),c=isNaN(x)||isNaN(y)?x.localeCompare(y):x-y;return up?c:-c});body.append(...rows)}});";

/// The page.
pub fn page(under: &str, rows: &[Row], now: DateTime<Utc>) -> String {
    let title = format!("Heap dumps of {}", escaped(under));
    let made = now.format("%Y-%m-%d %H:%M UTC");
    let until = ends(rows);
    let head = "<th>Time<th class=n>Size<th>State<th>JVM<th>Pod<th>Reason<th>Fullest classes<th>Object";
    let body: String = rows.iter().map(row).collect();
    let empty = if rows.is_empty() { "<p>Nothing is stored there." } else { "" };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=Content-Security-Policy content=\"{POLICY}\">\n\
         <title>{title}</title><style>{STYLE}</style>\n\
         <h1>{title}</h1><p>{} as of {made}{until}</p>\n\
         <input type=search placeholder=\"Filter\" aria-label=Filter hidden>\n\
         <table><thead><tr>{head}</thead><tbody>\n{body}</tbody></table>{empty}\n\
         <script>{SCRIPT}</script></html>\n",
        count(rows.len())
    )
}

/// When the first of the links ends, or why that is not known.
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

fn row(row: &Row) -> String {
    let name = row.key.rsplit('/').next().unwrap_or_default();
    let object = match &row.link {
        Some(link) => format!("<a download href=\"{}\">{}</a>", escaped(link), escaped(name)),
        None => escaped(&row.url),
    };
    let sha = row.sha256.as_deref().map(|sha| format!("<small>SHA-256 {}</small>", escaped(sha))).unwrap_or_default();
    let bad = if row.complete == Some(false) { " class=bad" } else { "" };
    let jvm = [row.jvm.as_deref(), row.main_class.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let text = |label: &str, text: &str| format!("<td data-l=\"{label}\">{}", escaped(text));
    [
        format!("<tr><td class=t data-l=Time>{}", escaped(&row.time)),
        format!("<td class=n data-l=Size data-v={}>{}", row.bytes, Bytes(row.bytes)),
        format!("<td data-l=State{bad}>{}", row.state()),
        text("JVM", &jvm),
        text("Pod", row.pod.as_deref().unwrap_or_default()),
        text("Reason", row.reason.as_deref().unwrap_or_default()),
        text("Classes", &row.classes()),
        format!("<td class=k data-l=Object><span>{object}{sha}</span>\n"),
    ]
    .concat()
}

/// For text and for values in double quotes.
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
        let page = page("p", &[evil], DateTime::UNIX_EPOCH);
        assert!(page.contains("; the token &lt;ends&gt;"), "{page}");
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
        assert_eq!(page.matches("<script>").count(), 1);
    }
}
