//! `[access]`: who may log in.

use super::{MINIMAL, warnings};

#[test]
fn a_rule_on_subjects_is_for_one_service() {
    let rule = format!("{MINIMAL}\n[access]\nsubjects = [\"1\"]\n");
    assert!(warnings(&rule).is_empty());
    let other = "\n[upstreams.b]\nprovider = \"github\"\nclient_id = \"id\"\nclient_secret = \"hunter3\"\n";
    let several = format!("{rule}{other}");
    assert_eq!(warnings(&several), ["access"]);
    assert!(warnings(&several.replace("subjects = [\"1\"]", "emails = [\"ada@example.com\"]")).is_empty());
}
