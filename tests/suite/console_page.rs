//! The list as a page, in a real browser: it fits each window, with no dump and with two thousand.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::browser::Browser;
use crate::common::s3::{BUCKET, S3Server};
use crate::common::tool::Tool;
use crate::fetch::screenshots;

const WINDOWS: [(u32, u32); 4] = [(390, 844), (768, 1024), (1280, 800), (1920, 1080)];
const AMOUNTS: [usize; 4] = [0, 1, 30, 2000];

/// At most so high is a row of the table: with more, one sees three dumps at a time.
const ROW_MAX: f64 = 240.0;

/// 120 characters, as those of generated and nested classes.
fn class_name(number: usize) -> String {
    let name = format!("com.example.shop{number}.checkout.ShoppingCartPersistenceServiceImplementation");
    format!("{name:$<120}", name = name + "$Lambda")
}

fn receipt(number: usize, key: &str) -> Value {
    let class = |name: &str| json!({ "name": name, "instances": 1000 + number, "bytes": 1 << 20 });
    let top: Vec<Value> =
        ["byte[]", "java.lang.String", &class_name(number), &class_name(number + 1)].map(class).to_vec();
    let amount = json!({ "instances": 1, "bytes": 16 });
    let mut records = json!({});
    for kind in [
        "utf8",
        "load_class",
        "stack_frames",
        "stack_traces",
        "other",
        "segments",
        "roots",
        "classes",
        "instances",
        "object_arrays",
        "primitive_arrays",
    ] {
        records[kind] = json!(number);
    }
    let classes = json!({ "top": top, "other": amount, "total": amount });
    let is_odd = number % 2 == 1;
    json!({ "tool": "jmap-dump-tool 0.1.0", "run_id": format!("{number:06x}"), "exit_code": 0,
        "place": "shop/cart/prod", "started": "2026-01-01T00:00:00Z", "seconds": [],
        "reason": if is_odd { "OutOfMemoryError" } else { "asked for by the on-call engineer, ticket 4711" },
        "context": key.replace(".hprof.gz", ".txt"), "pod": { "name": pod(number) },
        "jvm": { "pid": 7, "ns_pid": 7, "uid": 1000, "version": "17.0.9+9-LTS", "main_class": class_name(0) },
        "object": { "url": format!("s3://b/{key}"), "key": key, "bytes": 1234567 + number, "verified": "checksum",
            "sha256": "0123456789abcdef".repeat(4) },
        "dump": { "live_only": true, "pause": 1.25, "walk": { "bytes": 12345678, "complete": number % 10 != 3,
            "records": records, "classes": classes } } })
}

fn pod(number: usize) -> String {
    format!("shopping-cart-checkout-service-deployment-7d9f8b6c5-{number:05}")
}

/// A page of so many dumps, as it would come by mail.
fn page(dir: &Path, amount: usize) -> String {
    let server = S3Server::start();
    for number in 0..amount {
        let app = ["cart", "checkout", "an-application-with-a-name-of-more-than-forty-characters"][number % 3];
        let place = server.object(&format!("shop/{app}/{}", ["prod", "test"][number % 2]));
        std::fs::create_dir_all(&place).unwrap();
        let name =
            format!("202601{:02}T{:02}0000Z_{}_7_{number:06x}.hprof.gz", 1 + number % 28, number % 24, pod(number));
        let key = format!("shop/{app}/{}/{name}", ["prod", "test"][number % 2]);
        std::fs::write(server.object(&key), "x").unwrap();
        let receipt = receipt(number, &key).to_string();
        std::fs::write(server.object(&key.replace(".hprof.gz", ".json")), receipt).unwrap();
    }
    let tool = Tool::new(&["list", "shop", "--links", "1h", "--output", "html", "--store", &format!("s3://{BUCKET}")])
        .with_s3(&server)
        .env("RUST_LOG", "warn");
    let path = dir.join(format!("{amount}.html"));
    std::fs::write(&path, tool.run().expect(0).stdout).unwrap();
    format!("file://{}", path.display())
}

/// What reaches beyond the window, or is cut off by it. What is folded has no place, and asking for it costs a layout; of
/// thousands of rows like each other the first are looked at.
const OVERFLOW: &str = "(() => { const page = document.documentElement; \
    const folded = e => e.closest('dl') && !e.closest('details').open; \
    const seen = [...document.querySelectorAll('body *')].slice(0, 2000).filter(e => !folded(e)); \
    const wide = seen.find(e => e.getBoundingClientRect().right > innerWidth + 0.5); \
    return page.scrollWidth > page.clientWidth || wide ? `${page.scrollWidth} of ${page.clientWidth} px, \
    ${wide?.outerHTML.slice(0, 200)}` : ''; })()";

/// Where the first link is: left, top, right and bottom.
const FIRST_LINK: &str = "(() => { const r = document.querySelector('a[href]').getBoundingClientRect(); \
    return [r.left, r.top, r.right, r.bottom]; })()";

#[track_caller]
fn assert_fits(browser: &Browser, what: &str, (width, height): (u32, u32), amount: usize) {
    assert_eq!(browser.eval(OVERFLOW), "", "{what}");
    if amount == 0 {
        let text = browser.eval("document.body.innerText");
        let text = text.as_str().unwrap();
        assert!(text.contains("s3://dumps") && text.contains("kubectl exec POD -- /jmap-dump-tool"), "{what}: {text}");
        return;
    }
    let sides = browser.eval(FIRST_LINK);
    let side = |index: usize| sides[index].as_f64().unwrap();
    assert!(side(0) >= 0.0 && side(1) >= 0.0 && side(2) > side(0), "{what}: {sides}");
    assert!(side(2) <= f64::from(width) && side(3) <= f64::from(height), "{what}: the first link is at {sides}");
    if width >= 1280 {
        let high = browser.eval(
            "Math.max(...[...document.querySelectorAll('tbody tr')].slice(0, 50).map(r => \
            r.getBoundingClientRect().height))",
        );
        assert!(high.as_f64().unwrap() <= ROW_MAX, "{what}: a row is {high} px high");
    }
}

#[test]
fn page_fits_each_window() {
    let dir = tempfile::tempdir().unwrap();
    let Some(browser) = Browser::start(dir.path()) else { return };
    let pages = AMOUNTS.map(|amount| page(dir.path(), amount));
    for (amount, url) in AMOUNTS.iter().zip(&pages) {
        browser.open(url);
        if *amount == 30 {
            browser.eval("document.querySelectorAll('details').forEach(folded => folded.open = true)");
            for (width, height) in WINDOWS {
                browser.resize(width, height);
                assert_eq!(browser.eval(OVERFLOW), "", "{width} px, unfolded");
            }
            browser.open(url);
        }
        for (width, height) in WINDOWS {
            browser.resize(width, height);
            let shot = screenshots().join(format!("list-{width}-{amount}.png"));
            // A picture of two thousand rows costs a second.
            if *amount < 2000 || width == 1280 {
                browser.picture(&shot);
            }
            assert_fits(&browser, &format!("{width} px, {amount} dumps"), (width, height), *amount);
        }
    }
    filter_hides_what_does_not_fit(&browser, &pages[2]);
    keyboard_reaches_everything(&browser, &pages[2]);
    colours_follow_the_system(&browser, &pages[2]);
    page_works_without_scripts(&browser, &pages[2]);
}

fn filter_hides_what_does_not_fit(browser: &Browser, url: &str) {
    browser.open(url);
    let shown = "[...document.querySelectorAll('tbody tr')].filter(r => getComputedStyle(r).display != 'none').length";
    for (width, height) in [WINDOWS[0], WINDOWS[2]] {
        browser.resize(width, height);
        browser
            .eval("(() => { const f = document.querySelector('input'); f.value = 'pod-of-nobody'; f.oninput(); })()");
        assert_eq!(browser.eval(shown), 0, "{width} px");
        assert_eq!(browser.eval("document.querySelector('output').textContent"), "0 of 30 shown");
        browser.eval("(() => { const f = document.querySelector('input'); f.value = ''; f.oninput(); })()");
    }
    browser.eval("[...document.querySelectorAll('.tools button')].find(b => b.title == 'OutOfMemoryError').click()");
    assert_eq!(browser.eval(shown), 15);
    browser.click("button[aria-pressed=true]");
    assert_eq!(browser.eval(shown), 30);
    browser.click("td .copy button");
    crate::common::waiting::wait_until("the link is copied", || {
        browser.eval("document.querySelector('td .copy button').textContent") == "Copied"
    });
}

/// The column by which rows come sorted is marked for those who cannot see it.
fn keyboard_reaches_everything(browser: &Browser, url: &str) {
    browser.open(url);
    browser.resize(1280, 800);
    assert_eq!(browser.eval("document.querySelector('th').getAttribute('aria-sort')"), "descending");
    let reached = |css: &str| {
        let focused = format!("document.activeElement.matches('{css}')");
        (0..60).any(|_| {
            browser.press("Tab", "Tab", "");
            browser.eval(&focused) == true
        })
    };
    assert!(reached("th:nth-child(5) button"), "the title of a column");
    browser.press("Enter", "Enter", "\r");
    assert_eq!(browser.eval("document.querySelector('th:nth-child(5)').getAttribute('aria-sort')"), "ascending");
    let sizes = "(() => { const n = [...document.querySelectorAll('tbody tr')].map(r => +r.cells[4].dataset.v); \
        return n.every((v, i) => !i || n[i - 1] <= v); })()";
    assert_eq!(browser.eval(sizes), true);
    assert!(reached("a.get"), "a link");
    assert!(reached("td summary"), "what is folded");
    browser.press("Enter", "Enter", "\r");
    assert_eq!(browser.eval("document.activeElement.parentElement.open"), true);
}

fn colours_follow_the_system(browser: &Browser, url: &str) {
    browser.open(url);
    let colours = "(() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]; })()";
    browser.dark(false);
    let light = browser.eval(colours);
    browser.dark(true);
    let dark = browser.eval(colours);
    assert_eq!((&light[0], &light[1]), (&json!("rgb(0, 0, 0)"), &json!("rgb(255, 255, 255)")));
    assert_ne!(light[1], dark[1], "{dark}");
    for (width, height) in WINDOWS {
        browser.resize(width, height);
        browser.picture(&screenshots().join(format!("list-{width}-30-dark.png")));
    }
    browser.dark(false);
}

fn page_works_without_scripts(browser: &Browser, url: &str) {
    browser.scripts(false);
    for window in WINDOWS {
        browser.resize(window.0, window.1);
        browser.open(url);
        assert_fits(browser, &format!("{} px without scripts", window.0), window, 30);
    }
    assert_eq!(browser.eval("getComputedStyle(document.querySelector('.tools')).display"), "none");
    browser.click("td summary");
    let told = browser.eval("document.querySelector('td dl').innerText");
    assert!(told.as_str().unwrap().contains("jmap-dump-tool fetch --store s3://dumps"), "{told}");
    browser.picture(&screenshots().join("list-1920-30-no-script.png"));
    browser.scripts(true);
}
