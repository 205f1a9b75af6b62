//! A real browser without a screen, driven over WebDriver (W3C: "WebDriver"): it opens pages, clicks, and downloads.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::bed::cannot_run;

/// What an element's reference is called (WebDriver, section 12.3).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Browser {
    driver: Child,
    /// Whoever writes to a pipe that nobody holds is killed.
    _said: Lines<BufReader<ChildStdout>>,
    session: String,
}

impl Browser {
    /// Downloads go to a directory.
    pub fn start(downloads: &Path) -> Option<Self> {
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(error) => {
                cannot_run(&format!("chromedriver: {error}; apt-get install chromium-driver"));
                return None;
            }
        };
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let said = |line: &String| line.contains("started successfully on port");
        let line = lines.by_ref().find_map(|line| line.ok().filter(said)).expect("the driver names its port");
        let port: String = line.chars().filter(char::is_ascii_digit).collect();
        let mut browser = Self { driver, _said: lines, session: format!("http://127.0.0.1:{port}") };
        let options = json!({
            "binary": "/usr/bin/chromium",
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync",
                     "--disable-background-networking", "--disable-component-update", "--no-first-run"],
            "prefs": { "download.default_directory": downloads, "download.prompt_for_download": false },
        });
        let wanted = json!({ "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": options } });
        let session = browser.post("/session", &json!({ "capabilities": wanted }));
        let id = session["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {session}"));
        browser.session = format!("{}/session/{id}", browser.session);
        Some(browser)
    }

    #[track_caller]
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// As a window of this size shows it, however small.
    #[track_caller]
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    #[track_caller]
    pub fn dark(&self, on: bool) {
        let value = if on { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", &media);
    }

    /// For the pages that are opened from now on; [`Self::eval`] works all the same.
    #[track_caller]
    pub fn scripts(&self, on: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": !on }));
    }

    #[track_caller]
    pub fn devtools(&self, command: &str, params: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn eval(&self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.devtools("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// A picture of what the window shows.
    #[track_caller]
    pub fn picture(&self, to: &Path) {
        let answer = self.devtools("Page.captureScreenshot", &json!({}));
        let text = answer["data"].as_str().expect("a picture");
        let (file, mut decode) = (File::create(to).expect("a picture can be written"), Command::new("base64"));
        let mut decoder = decode.arg("-d").stdin(Stdio::piped()).stdout(file).spawn().expect("base64 can be started");
        decoder.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("base64 reads");
        assert!(decoder.wait().is_ok_and(|ended| ended.success()));
    }

    /// Presses a key on whatever has the focus.
    #[track_caller]
    pub fn press(&self, key: &str, code: &str, text: &str) {
        let of = |kind: &str| {
            json!({ "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": match key {
            "Tab" => 9, "Enter" => 13, " " => 32, _ => 0 }, "text": if kind == "keyDown" { text } else { "" } })
        };
        for kind in ["keyDown", "keyUp"] {
            self.devtools("Input.dispatchKeyEvent", &of(kind));
        }
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        let found = self.post("/element", &json!({ "using": "css selector", "value": css }));
        let id = found[ELEMENT].as_str().unwrap_or_else(|| panic!("no '{css}': {found}"));
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let curl = Command::new("curl").args(["-sS", "-m", "60", "-d", &body.to_string(), &url]).output().unwrap();
        let answer: Value = serde_json::from_slice(&curl.stdout).unwrap_or_else(|_| panic!("{path}: {curl:?}"));
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of the session is the end of the browser.
        let _ = Command::new("curl").args(["-s", "-m", "20", "-X", "DELETE", &self.session]).output();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
