//! Removes entries from a page of a listing at which object_store would fail. One odd key (`shop//x.gz`, `..`, a
//! control character) would end the whole listing. The three forms: S3's and Google's `Contents`, Azure's `Blob`,
//! WebDAV's `response`.

use object_store::path::Path;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::store::url::KEY_MAX;

/// Longest mark of the next page. It becomes a part of a URL.
const MARK_MAX: usize = 4096;

/// Most nested elements. A listing has six, and each open element takes memory.
const DEPTH_MAX: usize = 64;

/// A page that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error("the mark of the listing's next page is too long for a URL")]
    LongMark,
    #[error("the listing has more than {DEPTH_MAX} elements within each other")]
    Deep,
    #[error("the listing is no XML")]
    Xml(#[from] quick_xml::Error),
}

/// Returns the page with only the entries whose keys can be used. A page that is not XML is returned unchanged, so that
/// object_store reports its fault.
///
/// # Errors
/// When the mark of the next page is too long for a URL, or the elements are nested too deeply.
pub fn usable_entries(page: &[u8]) -> Result<Vec<u8>, PageError> {
    match std::str::from_utf8(page).map(filtered) {
        Ok(Ok(kept)) => Ok(kept.into_bytes()),
        Ok(Err(PageError::Xml(_))) | Err(_) => check_depth(page).map(|()| page.to_vec()),
        Ok(Err(error)) => Err(error),
    }
}

/// Checks that the elements of a page are not nested too deeply, up to its first fault.
///
/// # Errors
/// When they are.
pub fn check_depth(page: &[u8]) -> Result<(), PageError> {
    let (mut reader, mut depth) = (Reader::from_reader(page), 0);
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) if depth == DEPTH_MAX => return Err(PageError::Deep),
            Ok(Event::Start(_)) => depth += 1,
            Ok(Event::End(_)) => depth -= 1,
            Ok(Event::Eof) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
    }
}

/// An entry whose end has not come yet.
struct Entry {
    begins: usize,
    depth: usize,
    key: String,
}

fn filtered(page: &str) -> Result<String, PageError> {
    let mut reader = Reader::from_str(page);
    let (mut kept, mut copied, mut entry) = (String::with_capacity(page.len()), 0, None::<Entry>);
    let (mut names, mut mark): (Vec<String>, usize) = (Vec::new(), 0);
    loop {
        let begins = reader.buffer_position() as usize;
        let event = reader.read_event()?;
        let ends = reader.buffer_position() as usize;
        match event {
            Event::Start(tag) => {
                if names.len() == DEPTH_MAX {
                    return Err(PageError::Deep);
                }
                let name = String::from_utf8_lossy(tag.local_name().as_ref()).into_owned();
                if entry.is_none() && matches!(name.as_str(), "Contents" | "Blob" | "response") {
                    entry = Some(Entry { begins, depth: names.len(), key: String::new() });
                }
                names.push(name);
            }
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                match (names.last().map(String::as_str), &mut entry) {
                    (Some("Key" | "Name" | "href"), Some(entry)) if names.len() == entry.depth + 2 => {
                        entry.key += &page[begins..ends];
                    }
                    (Some("NextContinuationToken" | "NextMarker"), None) => {
                        mark += ends - begins;
                        if mark > MARK_MAX {
                            return Err(PageError::LongMark);
                        }
                    }
                    _ => {}
                }
            }
            Event::End(_) => {
                names.pop();
                if let Some(Entry { begins, key, .. }) = entry.take_if(|entry| entry.depth == names.len())
                    && !is_usable(&key, names.last().is_some_and(|name| name == "multistatus"))
                {
                    kept += &page[copied..begins];
                    copied = ends;
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    kept += &page[copied..];
    Ok(kept)
}

/// Returns whether a key can be used. `text` is escaped as in the page. WebDAV's names are URLs.
fn is_usable(text: &str, is_url: bool) -> bool {
    let usable = quick_xml::escape::unescape(text).ok().filter(|key| key.len() <= if is_url { 3 } else { 1 } * KEY_MAX);
    let usable = usable.is_some_and(|key| {
        if !is_url {
            // A client would ask for a key without its first or last '/', which is another one.
            return Path::parse(key.as_ref()).is_ok_and(|path| path.as_ref() == key);
        }
        let base = reqwest::Url::parse("http://base/").ok();
        let url = base.and_then(|base| base.join(&key).ok());
        url.is_some_and(|url| Path::from_url_path(url.path()).is_ok_and(|path| path.as_ref().len() <= KEY_MAX))
    });
    if !usable {
        let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        log::info!("the key {shown} is none that this program could have made: it is left out");
    }
    usable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(page: &str) -> String {
        String::from_utf8(usable_entries(page.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn odd_keys_are_taken_out_of_each_form() {
        let long = "k".repeat(KEY_MAX + 1);
        for odd in [
            "shop//x.gz",
            "..",
            "a/../b",
            "shop/t.gz/",
            "/shop/l.gz",
            "a\u{1b}[2J",
            "a&#27;b",
            "a&#x1b;b",
            long.as_str(),
        ] {
            for (open, close) in [
                ("<R><Contents><Size>1</Size><Key>", "</Key></Contents>"),
                ("<R><Blobs><Blob><Name>", "</Name><Properties><Name>x</Name></Properties></Blob>"),
                ("<D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>/dav/", "</D:href></D:response>"),
            ] {
                if open.contains("href") && (odd.contains("..") || odd.starts_with('/') || odd.ends_with('/')) {
                    continue; // A URL's dots lead elsewhere before anybody sees them, and collections end with '/'.
                }
                let entry = |key: &str| format!("{open}{key}{close}");
                let body = |key: &str| entry(key).replacen("<R>", "", 1).replacen("<Blobs>", "", 1);
                let body = |key: &str| body(key).replacen("<D:multistatus xmlns:D=\"DAV:\">", "", 1);
                let head =
                    &open[..open.find("<Contents>").or(open.find("<Blob>")).or(open.find("<D:response>")).unwrap()];
                let tail = if open.contains("href") {
                    "</D:multistatus>"
                } else if open.contains("Blobs") {
                    "</Blobs></R>"
                } else {
                    "</R>"
                };
                let page = format!("{head}{}{}{}{tail}", body("a.gz"), body(odd), body("b&amp;c.gz"));
                let odd = &odd[..odd.len().min(20)];
                assert_eq!(kept(&page), format!("{head}{}{}{tail}", body("a.gz"), body("b&amp;c.gz")), "{odd} {open}");
            }
        }
    }

    #[test]
    fn page_that_is_no_xml_stays_and_a_long_mark_ends_it() {
        assert_eq!(kept("<a></b>"), "<a></b>");
        let page = format!("<R><NextContinuationToken>{}</NextContinuationToken></R>", "t".repeat(MARK_MAX + 1));
        assert!(matches!(usable_entries(page.as_bytes()), Err(PageError::LongMark)));
    }

    #[test]
    fn page_of_elements_within_each_other_is_refused() {
        let nested = |depth: usize, bad: &str| [&"<a>".repeat(depth), bad, &"</a>".repeat(depth)].concat();
        assert_eq!(kept(&nested(DEPTH_MAX, "")), nested(DEPTH_MAX, ""));
        for page in [nested(DEPTH_MAX + 1, "").into_bytes(), [b"<a>\xff".repeat(100), b"<a>".repeat(100)].concat()] {
            assert!(matches!(usable_entries(&page), Err(PageError::Deep)));
            assert!(matches!(check_depth(&page), Err(PageError::Deep)));
        }
    }
}
