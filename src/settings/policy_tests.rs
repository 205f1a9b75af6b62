use super::*;
use crate::store::Secret;

fn policy(stores: &str) -> Policy {
    Policy::parse(Texts { stores: Some(stores.into()), by: Some("platform@shop".into()), ..Texts::default() }).unwrap()
}

fn store(policy: &Policy, store: &str, change: impl Fn(&mut StoreSettings)) -> Result<StoreSettings, UsageError> {
    let mut settings = StoreSettings::of(StoreUrl::parse(store).unwrap());
    change(&mut settings);
    policy.store(settings, &Origin::Flag)
}

fn allows(stores: &str, url: &str) -> bool {
    store(&policy(stores), url, |_| ()).is_ok()
}

#[test]
fn store_below_an_allowed_one_is_allowed() {
    for (allowed, url, is) in [
        ("s3://b/team", "s3://b/team", true),
        ("s3://b/team/", "s3://b/team/x", true),
        ("s3://b", "s3://b/x", true),
        ("s3://b/team", "s3://b/teams", false),
        ("s3://b/team", "s3://b", false),
        ("s3://b/team", "s3://c/team", false),
        ("s3://b/team", "gs://b/team", false),
        ("oss://x, s3://b", "s3://b", true),
        ("/dumps", "/dumps/a", true),
        ("/dumps", "file:///dumps", true),
        ("/dumps", "/dumps/../etc", false),
        ("/dumps", "/dumpsters", false),
        ("/dumps", "./dumps", false),
        ("/", "./dumps", false),
        ("s3://b", "-", false),
        ("s3://b,-", "-", true),
        ("https://h/dav", "https://h/dav/x", true),
        ("https://h/dav", "https://h:444/dav/x", false),
        ("https://h/dav", "http://h/dav/x", false),
        ("https://h/dav", "https://h.evil/dav", false),
        ("https://h/dav", "https://h/dav/x?X-Amz-Signature=1", true),
        ("https://h/dav", "https://h/dav/../x?X-Amz-Signature=1", false),
        ("https://h/dav", "https://h/dav/%2e%2e/x?X-Amz-Signature=1", false),
        ("https://h/dav", "https://h/dav/..%2Fx?X-Amz-Signature=1", false),
        ("https://h/dav", "https://h/dav\\..\\x?X-Amz-Signature=1", false),
    ] {
        assert_eq!(allows(allowed, url), is, "{allowed}: {url}");
    }
}

#[test]
fn nothing_takes_an_allowed_store_s_requests_elsewhere() {
    let with_endpoint = |stores: &str| {
        let (endpoint, account) = (Some("https://minio.shop".to_owned()), Some("shop".to_owned()));
        Policy::parse(Texts { stores: Some(stores.into()), endpoint, account, ..Texts::default() }).unwrap()
    };
    let (plain, fixed) = (policy("s3://b,gs://b,az://b,oss://b"), with_endpoint("s3://b,az://b"));
    let evil = |settings: &mut StoreSettings| settings.endpoint = Some("https://evil".into());
    for url in ["s3://b", "gs://b", "oss://b"] {
        assert!(store(&plain, url, evil).is_err(), "{url}");
    }
    assert!(store(&fixed, "s3://b", evil).is_err());
    let own = |settings: &mut StoreSettings| settings.endpoint = Some("https://minio.shop".into());
    assert!(store(&fixed, "s3://b", own).is_ok());
    assert_eq!(store(&fixed, "s3://b", |_| ()).unwrap().endpoint.as_deref(), Some("https://minio.shop"));
    assert_eq!(store(&plain, "gs://b", |_| ()).unwrap().endpoint.as_deref(), Some(GOOGLE));
    assert!(store(&plain, "az://b", |settings| settings.account = Some("evil".into())).is_err());
    assert!(store(&plain, "az://b", |_| ()).is_err());
    assert!(store(&fixed, "az://b", |settings| settings.account = Some("evil".into())).is_err());
    assert_eq!(store(&fixed, "az://b", |_| ()).unwrap().account.as_deref(), Some("shop"));
    assert!(store(&plain, "oss://b", |settings| settings.cname = true).is_err());
}

#[test]
fn no_policy_changes_nothing() {
    let none = Policy::parse(Texts::default()).unwrap();
    let evil = |settings: &mut StoreSettings| settings.endpoint = Some("https://evil".into());
    assert_eq!(store(&none, "s3://any", evil).unwrap().endpoint.as_deref(), Some("https://evil"));
    assert_eq!(none.redaction(Some(&Origin::Flag), None).unwrap(), None);
}

#[test]
fn refusal_names_who_set_it_and_no_signature() {
    let signed = StoreSettings::of(StoreUrl::Presigned { url: Secret::new("https://x/k?X-Amz-Signature=hunter2") });
    let error = policy("s3://b").store(signed, &Origin::Environment).unwrap_err();
    let told = format!("{error} {}", error.hint());
    assert!(
        told.contains("platform@shop") && told.contains("in the environment") && !told.contains("hunter2"),
        "{told}"
    );
}

#[test]
fn redaction_is_at_least_what_is_built_in() {
    let policy = |least: &str| Policy::parse(Texts { least: Some(least.into()), ..Texts::default() }).unwrap();
    let redact = |what| Some(Redaction { what, keep_classes: Vec::new() });
    let keep = Some(Redaction { what: Redact::All, keep_classes: vec!["*".into()] });
    let (flag, strings, all) = (Some(&Origin::Flag), policy("strings"), policy("all"));
    assert_eq!(strings.redaction(None, None).unwrap(), redact(Redact::Strings));
    assert_eq!(strings.redaction(flag, redact(Redact::All)).unwrap(), redact(Redact::All));
    assert!(strings.redaction(flag, None).is_err());
    assert!(strings.redaction(flag, keep).is_err());
    assert!(all.redaction(flag, redact(Redact::Strings)).is_err());
    assert!(Policy::parse(Texts { least: Some("string".into()), ..Texts::default() }).is_err());
    for bad in ["", "s3:/b", "relative", "./d", "/a/../b", "https://h/k?X-Amz-Signature=1"] {
        assert!(Policy::parse(Texts { stores: Some(bad.into()), ..Texts::default() }).is_err(), "{bad}");
    }
}
