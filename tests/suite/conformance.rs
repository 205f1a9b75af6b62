//! One suite over all stores: each cell of the table in `docs/stores.md` is a test, named after store and behaviour.

mod bad;
mod cut;
mod good;
mod hprof;
mod names;
mod network;
mod receipts;
mod repeated;
mod stores;

/// A module for each store with a test for each of its behaviours, and the list of them all.
macro_rules! conformance {
    ($($store:ident: { $($kind:ident: [$($behaviour:ident),+ $(,)?]),+ $(,)? })+) => {
        $(mod $store {
            $($(#[test]
            fn $behaviour() {
                if let Some(store) = super::stores::$store() {
                    super::$kind::$behaviour(&store);
                }
            })+)+
        })+

        const TESTED: &[(&str, &[&str])] = &[$((stringify!($store), &[$($(stringify!($behaviour)),+),+])),+];
    };
}

conformance! {
    s3_path: {
        good: [
            a_small_dump_is_stored_whole,
            a_large_dump_goes_up_in_parts,
            what_is_stored_is_listed,
            a_link_works_without_credentials,
            a_signed_url_takes_one_dump_without_any_key,
            a_fetch_reads_ranges,
            the_receipt_says_how_it_was_verified,
            damage_in_the_store_is_noticed,
            a_check_says_whether_the_store_takes_uploads,
            odd_prefix_is_the_one_in_the_store,
            odd_keys_do_not_hide_the_others,
        ],
        bad: [
            object_that_vanishes_is_not_stored,
            wrong_credentials_are_told_and_nothing_is_stored,
            a_missing_bucket_is_told,
            rights_to_put_alone_suffice,
            throttling_is_waited_out,
            throttling_without_end_leaves_the_dump_and_says_why,
            throttling_of_the_opening_and_of_the_end_is_waited_out,
            a_stalled_request_is_waited_for,
            a_stall_does_not_outlast_the_deadline,
            a_store_that_never_answers_is_given_up,
            a_redirect_is_no_success,
            a_broken_connection_is_tried_again,
            a_broken_connection_anywhere_is_no_failure,
            a_wrong_clock_is_named,
            a_token_that_ends_in_the_middle_leaves_the_dump,
            after_a_token_that_ended_only_the_missing_parts_are_sent,
        ],
    }
    s3_virtual: {
        good: [
            a_small_dump_is_stored_whole,
            a_large_dump_goes_up_in_parts,
            what_is_stored_is_listed,
            a_link_works_without_credentials,
            a_signed_url_takes_one_dump_without_any_key,
            a_fetch_reads_ranges,
            the_receipt_says_how_it_was_verified,
            damage_in_the_store_is_noticed,
            a_check_says_whether_the_store_takes_uploads,
            odd_prefix_is_the_one_in_the_store,
            odd_keys_do_not_hide_the_others,
        ],
        bad: [
            object_that_vanishes_is_not_stored,
            wrong_credentials_are_told_and_nothing_is_stored,
            a_missing_bucket_is_told,
            rights_to_put_alone_suffice,
            throttling_is_waited_out,
            throttling_without_end_leaves_the_dump_and_says_why,
            throttling_of_the_opening_and_of_the_end_is_waited_out,
            a_stalled_request_is_waited_for,
            a_stall_does_not_outlast_the_deadline,
            a_store_that_never_answers_is_given_up,
            a_redirect_is_no_success,
            a_broken_connection_is_tried_again,
            a_broken_connection_anywhere_is_no_failure,
            a_wrong_clock_is_named,
            a_token_that_ends_in_the_middle_leaves_the_dump,
            after_a_token_that_ended_only_the_missing_parts_are_sent,
        ],
    }
    az: {
        good: [
            a_small_dump_is_stored_whole,
            a_large_dump_goes_up_in_parts,
            what_is_stored_is_listed,
            a_link_works_without_credentials,
            a_signed_url_takes_one_dump_without_any_key,
            a_fetch_reads_ranges,
            the_receipt_says_how_it_was_verified,
            damage_in_the_store_is_noticed,
            a_check_says_whether_the_store_takes_uploads,
            odd_prefix_is_the_one_in_the_store,
            odd_keys_do_not_hide_the_others,
        ],
        bad: [
            object_that_vanishes_is_not_stored,
            wrong_credentials_are_told_and_nothing_is_stored,
            a_missing_bucket_is_told,
            rights_to_put_alone_suffice,
            throttling_is_waited_out,
            throttling_without_end_leaves_the_dump_and_says_why,
            throttling_of_the_opening_and_of_the_end_is_waited_out,
            a_stalled_request_is_waited_for,
            a_stall_does_not_outlast_the_deadline,
            a_store_that_never_answers_is_given_up,
            a_redirect_is_no_success,
            a_broken_connection_is_tried_again,
            a_broken_connection_anywhere_is_no_failure,
            a_token_that_ends_in_the_middle_leaves_the_dump,
        ],
    }
    gs: {
        good: [
            a_small_dump_is_stored_whole,
            a_large_dump_goes_up_in_parts,
            what_is_stored_is_listed,
            a_link_works_without_credentials,
            a_fetch_reads_ranges,
            the_receipt_says_how_it_was_verified,
            damage_in_the_store_is_noticed,
            a_check_says_whether_the_store_takes_uploads,
            odd_prefix_is_the_one_in_the_store,
            odd_keys_do_not_hide_the_others,
        ],
        bad: [
            object_that_vanishes_is_not_stored,
            wrong_credentials_are_told_and_nothing_is_stored,
            a_missing_bucket_is_told,
            rights_to_put_alone_suffice,
            throttling_is_waited_out,
            throttling_without_end_leaves_the_dump_and_says_why,
            throttling_of_the_opening_and_of_the_end_is_waited_out,
            a_stalled_request_is_waited_for,
            a_stall_does_not_outlast_the_deadline,
            a_store_that_never_answers_is_given_up,
            a_redirect_is_no_success,
            a_broken_connection_is_tried_again,
            a_broken_connection_anywhere_is_no_failure,
            a_token_that_ends_in_the_middle_leaves_the_dump,
        ],
    }
    webdav: {
        good: [
            a_small_dump_is_stored_whole,
            a_large_dump_is_stored_whole,
            what_is_stored_is_listed,
            that_there_are_no_links_is_said,
            that_no_url_is_signed_is_said,
            a_fetch_reads_ranges,
            the_receipt_says_how_it_was_verified,
            damage_in_the_store_is_noticed,
            a_check_says_whether_the_store_takes_uploads,
            odd_prefix_is_the_one_in_the_store,
            odd_keys_do_not_hide_the_others,
        ],
        bad: [
            object_that_vanishes_is_not_stored,
            wrong_credentials_are_told_and_nothing_is_stored,
            a_missing_bucket_is_told,
            rights_to_put_alone_suffice,
            throttling_is_waited_out,
            throttling_without_end_leaves_the_dump_and_says_why,
            throttling_of_the_opening_and_of_the_end_is_waited_out,
            a_stalled_request_is_waited_for,
            a_stall_does_not_outlast_the_deadline,
            a_store_that_never_answers_is_given_up,
            a_redirect_is_no_success,
            a_broken_connection_is_tried_again,
            a_broken_connection_anywhere_is_no_failure,
            a_token_that_ends_in_the_middle_leaves_the_dump,
        ],
    }
    local: {
        good: [
            a_small_dump_is_stored_whole,
            a_large_dump_is_stored_whole,
            what_is_stored_is_listed,
            that_there_are_no_links_is_said,
            that_no_url_is_signed_is_said,
            a_fetch_gets_the_bytes_that_were_stored,
            the_receipt_says_how_it_was_verified,
            damage_in_the_store_is_noticed,
            a_check_says_whether_the_store_takes_uploads,
            odd_prefix_is_the_one_in_the_store,
        ],
    }
}

/// A column of the table: its title, the tests that make it a `yes`, and the one that makes it a `no`.
type Column = (&'static str, &'static [&'static str], &'static str);

const COLUMNS: &[Column] = &[
    ("put", &["a_small_dump_is_stored_whole"], ""),
    ("parts", &["a_large_dump_goes_up_in_parts"], "a_large_dump_is_stored_whole"),
    ("list", &["what_is_stored_is_listed"], ""),
    ("link", &["a_link_works_without_credentials"], "that_there_are_no_links_is_said"),
    ("signed upload", &["a_signed_url_takes_one_dump_without_any_key"], "that_no_url_is_signed_is_said"),
    ("ranged get", &["a_fetch_reads_ranges"], ""),
    ("fetch", &["a_fetch_reads_ranges", "a_fetch_gets_the_bytes_that_were_stored"], ""),
    ("verified", &["the_receipt_says_how_it_was_verified"], ""),
    ("damage noticed", &["damage_in_the_store_is_noticed"], ""),
    ("check", &["a_check_says_whether_the_store_takes_uploads"], ""),
    ("odd prefix", &["odd_prefix_is_the_one_in_the_store"], ""),
    ("odd keys", &["odd_keys_do_not_hide_the_others"], ""),
    ("wrong credentials", &["wrong_credentials_are_told_and_nothing_is_stored"], ""),
    ("missing bucket", &["a_missing_bucket_is_told"], ""),
    ("404 afterwards", &["object_that_vanishes_is_not_stored"], ""),
    ("put-only rights", &["rights_to_put_alone_suffice"], ""),
    (
        "throttling",
        &[
            "throttling_is_waited_out",
            "throttling_without_end_leaves_the_dump_and_says_why",
            "throttling_of_the_opening_and_of_the_end_is_waited_out",
        ],
        "",
    ),
    ("stall", &["a_stalled_request_is_waited_for", "a_stall_does_not_outlast_the_deadline"], ""),
    ("no answer", &["a_store_that_never_answers_is_given_up"], ""),
    ("reset", &["a_broken_connection_is_tried_again", "a_broken_connection_anywhere_is_no_failure"], ""),
    ("redirect", &["a_redirect_is_no_success"], ""),
    ("clock skew", &["a_wrong_clock_is_named"], ""),
    ("token ends", &["a_token_that_ends_in_the_middle_leaves_the_dump"], ""),
    ("parts kept", &["after_a_token_that_ended_only_the_missing_parts_are_sent"], ""),
];

fn row(store: &str, tested: &[&str]) -> String {
    let cell = |(_, yes, no): &Column| {
        let is_tested = |name: &str| tested.contains(&name);
        if yes.iter().any(|name| is_tested(name)) {
            "yes"
        } else if is_tested(no) {
            "no"
        } else {
            "-"
        }
    };
    format!("| {store} | {} |", COLUMNS.iter().map(cell).collect::<Vec<_>>().join(" | "))
}

#[test]
fn the_table_of_stores_is_the_one_that_is_tested() {
    let titles: Vec<&str> = COLUMNS.iter().map(|(title, ..)| *title).collect();
    let head = [format!("| store | {} |", titles.join(" | ")), format!("|{}", "---|".repeat(titles.len() + 1))];
    let rows = TESTED.iter().map(|(store, tested)| row(store, tested));
    let table = head.into_iter().chain(rows).collect::<Vec<_>>().join("\n");
    let page = include_str!("../../docs/stores.md");
    assert!(page.contains(&format!("\n\n{table}\n\n")), "docs/stores.md needs this table:\n{table}");
}

/// A behaviour without a column would be in no table.
#[test]
fn each_behaviour_has_a_column() {
    let told = |name: &str| COLUMNS.iter().any(|(_, yes, no)| yes.contains(&name) || *no == name);
    for (store, tested) in TESTED {
        let untold: Vec<_> = tested.iter().filter(|name| !told(name)).collect();
        assert!(untold.is_empty(), "{store}: {untold:?}");
    }
}
