//! The function of the fuzz target for the admin interface of S3 servers, with random and with damaged answers.

use proptest::prelude::*;

#[expect(unreachable_pub, reason = "the fuzz target sees it from outside")]
#[path = "../../../../fuzz/src/s3.rs"]
mod target;

const KEYS: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListUserAccountsResult><Accounts><Access>mlflow\
                    </Access><Secret>0123456789abcdef0123456789abcdef</Secret><Role>user</Role><UserID>0</UserID>\
                    <GroupID>0</GroupID><ProjectID>1073741825</ProjectID></Accounts><Accounts><Access>b</Access>\
                    <Secret>fedcba9876543210fedcba9876543210</Secret><ProjectID>-1</ProjectID></Accounts>\
                    </ListUserAccountsResult>";
const BUCKETS: &str = "<ListBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Buckets><Name>mlflow\
                       </Name><Owner>mlflow</Owner></Buckets><Buckets><Name>b</Name></Buckets></ListBucketsResult>";
const REFUSAL: &str = "<Error><Code>XAdminUserExists</Code><Message>A user with the provided access key ID already \
                       exists.</Message><Resource>/</Resource></Error>";

fn damaged() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<",
            ">",
            "</",
            "/>",
            "&",
            "&amp;",
            "&#0;",
            "&#x110000;",
            "&x;",
            "<![CDATA[",
            "]]>",
            "<!--",
            "-->",
            "<?",
            "?>",
            "<!DOCTYPE a [<!ENTITY x \"&x;&x;\">]>",
            "\"",
            "=",
            " xmlns:a=\"b\"",
            "<Accounts>",
            "</Accounts>",
            "<Buckets>",
            "<Name>",
            "99999999999999999999",
            "\u{feff}",
            "\0",
            "é🦀",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,5}",
    ];
    let change = (any::<prop::sample::Index>(), 0_usize..30, piece);
    (
        prop::sample::select(vec![KEYS, BUCKETS, REFUSAL]),
        prop::collection::vec(change, 0..5),
    )
        .prop_map(|(text, changes)| {
            let mut text: Vec<char> = text.chars().collect();
            for (at, cut, piece) in changes {
                let at = at.index(text.len() + 1);
                let end = (at + cut).min(text.len());
                text.splice(at..end, piece.chars());
            }
            text.into_iter().collect()
        })
}

#[test]
fn answers_as_they_are_pass() {
    for text in [KEYS, BUCKETS, REFUSAL, ""] {
        target::s3_admin(text);
    }
}

#[test]
fn deep_and_long_answers_pass() {
    target::s3_admin(&"<a>".repeat(20_000));
    target::s3_admin(&format!(
        "{}{}",
        "<ListBucketsResult>".repeat(5_000),
        "</x>"
    ));
    let many = "<Buckets><Name>b</Name></Buckets>".repeat(5_000);
    target::s3_admin(&format!("<ListBucketsResult>{many}</ListBucketsResult>"));
}

#[test]
fn a_document_type_inside_a_text_is_refused() {
    let doctype = "<!DOCTYPE a [<!ENTITY x \"y\">]>";
    target::s3_admin(&REFUSAL.replace("already", doctype));
    target::s3_admin(&KEYS.replace("</Access>", &format!("{doctype}</Access>")));
    target::s3_admin(&format!("{doctype}{BUCKETS}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_damaged_answer(text in damaged()) {
        target::s3_admin(&text);
    }

    #[test]
    fn any_text(text in "\\PC{0,80}") {
        target::s3_admin(&text);
    }
}
